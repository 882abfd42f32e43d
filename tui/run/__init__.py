"""The dialogue that starts jobs: actions, parent, dry run."""
