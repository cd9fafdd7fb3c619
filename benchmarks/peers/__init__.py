"""Peers in Python, each written as its documentation teaches."""
