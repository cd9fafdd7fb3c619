"""The outbox: stores callbacks durably and hands them to delivery.

Other packages pass its functions to `Outbox.read` and `Outbox.write`. No request is confirmed before its transaction is
committed.
"""
