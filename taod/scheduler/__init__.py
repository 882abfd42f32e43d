"""The scheduler: what runs when and where, and the supervision of what runs."""
