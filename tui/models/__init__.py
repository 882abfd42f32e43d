"""The page of models: the list, a model's details and jobs, and the forms that create and change one."""
