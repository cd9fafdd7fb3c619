"""The edge: may this request come in? Knows HTTP, knows nothing of callbacks."""
