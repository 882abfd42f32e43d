"""Pure decisions: which job starts next, on which devices, and why the others wait."""
