"""A simulator of the Chaser telephony API for development and tests. Imports nothing from outside this folder."""
