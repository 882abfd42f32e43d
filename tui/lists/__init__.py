"""A list of things with a filter above it: what the pages of data sets and of models have in common."""
