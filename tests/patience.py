"""How long a test waits for what must happen."""

PATIENCE_S = 600.0
"""It only ends a test that would hang: no test measures time, and a slow machine may take long."""
