"""Sweeps for clients."""
