"""The edge: decide whether an HTTP request may come in. It knows HTTP, and nothing of callbacks."""
