"""Releases of NVIDIA's tools that the catalogue describes."""

BASE = "5.0"
"""The release of everything without an explicit release."""
NEWEST = "7.3"
"""Its networks and dataset types include those of all releases before."""
