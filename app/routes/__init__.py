"""Routes: thin HTTP between the edge, the intake and the outbox."""
