"""The commands of `chaser-callback`: they run, check and operate the service."""
