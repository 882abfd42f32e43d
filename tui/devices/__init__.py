"""The devices: their leases and their load."""
