"""The terminal dashboard. It speaks HTTP with a daemon through taod.client and knows nothing else of it."""
