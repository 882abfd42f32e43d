"""Summaries of datasets count boxes `per_image`."""

from __future__ import annotations

SCRIPT = """
UPDATE datasets SET summary = replace(summary, '"per_picture":', '"per_image":') WHERE summary LIKE '%"per_picture":%'
"""
