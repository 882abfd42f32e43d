"""Datasets on disk: uploads, safe extraction, structure checks, summaries."""
