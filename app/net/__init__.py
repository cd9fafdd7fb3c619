"""Pure parsers of IP addresses and web origins, shared by settings and edge. No I/O."""
