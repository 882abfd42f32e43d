"""Managed tool environments: NVIDIA's packages installed in virtual environments of their own, and found for runs."""
