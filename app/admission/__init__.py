"""Admission: decide whether a request is accepted, and what becomes of it.

Routes call the conductor; the writer of the outbox calls the batch. One batch of requests is one transaction: lock,
read a snapshot, decide each request by a pure function, write. It knows no HTTP and never calls Chaser: what it
accepts waits in the outbox. Release and retry ask the same questions about one stored callback.
"""
