"""The page of data sets: the list, what was understood of one, and how one comes in."""
