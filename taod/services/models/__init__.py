"""Models and pretrained models."""
