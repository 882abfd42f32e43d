"""Runs in containers: of Docker, or of podman behind its Docker API. Each file knows one thing of it."""
