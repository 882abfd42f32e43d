"""The page of datasets: the list, a dataset's details and check, and uploads."""
