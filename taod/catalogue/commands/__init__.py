"""Command lines and finished specifications from a job's facts."""
