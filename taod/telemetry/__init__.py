"""Telemetry: what runs say of themselves, read once and told to everybody who listens."""
