"""The commands that work on a running service."""
