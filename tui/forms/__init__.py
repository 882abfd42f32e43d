"""Modal forms: labelled fields, error messages and submission."""
