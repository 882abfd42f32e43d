"""A list of things with a filter above it: what the pages of datasets and of models have in common."""
