"""The terminal dashboard. It reaches the daemon only over HTTP, through taod.client."""
