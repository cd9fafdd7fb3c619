"""The outbox: stores callbacks durably and hands them to delivery.

Other packages use it through `Outbox`. No request is confirmed before its transaction is committed.
"""
