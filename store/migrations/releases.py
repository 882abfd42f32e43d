"""Models and jobs have the release of their tools; all before are of 5.0."""

from __future__ import annotations

SCRIPT = """
ALTER TABLE models ADD COLUMN release TEXT NOT NULL DEFAULT '5.0';

ALTER TABLE jobs ADD COLUMN release TEXT NOT NULL DEFAULT '5.0';
"""
