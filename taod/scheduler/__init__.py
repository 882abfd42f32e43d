"""The scheduler: decides when and where jobs run, and supervises their runs."""
