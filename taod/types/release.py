"""Releases of NVIDIA's tools that the catalogue has facts of."""

BASE = "5.0"
"""Everything without a release of its own belongs to it."""
NEWEST = "7.3"
"""Its networks and dataset types include those of all releases before."""
