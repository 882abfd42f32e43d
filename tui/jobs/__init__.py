"""The list of jobs: store, rows, table and filters."""
