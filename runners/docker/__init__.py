"""Runs in containers of Docker, or of podman through its Docker-compatible API."""
