"""Specification files: YAML, JSON and protobuf text, read and written."""
