"""Datasets: create, upload, link, validate, derive, lineage."""
