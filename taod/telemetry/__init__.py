"""Telemetry: reports of runs, read once and published to all listeners."""
