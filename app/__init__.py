"""Chaser Callback: a visitor types a phone number and is called back through Chaser."""
