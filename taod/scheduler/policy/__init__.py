"""Pure decisions: which job starts next, on which devices, and why other jobs wait."""
