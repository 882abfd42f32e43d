"""The terminal dashboard: speaks HTTP to the daemon, knows nothing else of it."""
