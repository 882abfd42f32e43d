"""Classification by several tasks (`multitask_classification`): images of a table to a class of each task."""
