"""The outbox: writes callbacks down before anybody is told that they were accepted."""
