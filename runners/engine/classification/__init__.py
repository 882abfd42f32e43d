"""Image classification: what its networks share."""
