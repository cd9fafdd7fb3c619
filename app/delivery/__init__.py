"""Delivery: claims due callbacks from the outbox, calls Chaser and records the outcome."""
