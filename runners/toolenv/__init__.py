"""Managed tool environments: installs NVIDIA's packages in virtual environments and finds them for runs."""
