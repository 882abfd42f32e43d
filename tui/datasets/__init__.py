"""The page of datasets: the list, what was understood of one, and how one comes in."""
