"""The alternatives in Python, each written as in its documentation."""
