"""Delivery: takes what is due from the outbox, calls Chaser, writes down what became of it."""
