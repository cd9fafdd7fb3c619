"""Pure parsers of addresses and origins, which settings and edge both use."""
