"""A Chaser telephony API to develop and test against; imports nothing of this project outside this folder."""
