"""HTTP routes: thin handlers between the edge, the intake and the outbox."""
