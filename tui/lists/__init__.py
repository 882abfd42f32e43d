"""A filtered list: shared by the pages of datasets, models and tools."""
