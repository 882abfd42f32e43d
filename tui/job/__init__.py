"""One job: its log, its curves, its details."""
