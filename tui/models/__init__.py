"""The page of models: the list, one model's facts and jobs, and how one is made."""
