"""Structure checks, summaries and samples of a dataset's files."""
