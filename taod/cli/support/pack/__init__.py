"""`taod model pack`: one zip file with a model and all that is needed to run it elsewhere."""
