"""Sweeps as clients read them."""
