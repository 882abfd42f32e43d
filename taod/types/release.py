"""The release of NVIDIA's tools that everything without a release of its own belongs to."""

BASE = "5.0"
