"""Parameters of specifications: tables, JSON Schema, validation, merging."""
