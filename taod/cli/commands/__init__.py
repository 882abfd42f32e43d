"""The commands of `taod`, one module each, imported when called."""
