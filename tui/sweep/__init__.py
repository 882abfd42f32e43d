"""The view of a sweep: trials, best trial, parameter importances and two plots."""
