"""Asking for runs: the actions of a chain, what each would be, and the start."""
