"""The page of tools: rows, details and the form that installs one."""
