"""Chaser Callback: visitors of a site enter a phone number and are called back through Chaser."""
