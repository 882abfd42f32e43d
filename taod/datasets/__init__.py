"""Data sets on disk: uploads, safe extraction, structure checks, summaries."""
