"""Measurements: figures against a peer in the same run, or against a goal. Never part of the tests."""
