"""How often a job was tried again, and when it is next."""

from __future__ import annotations

SCRIPT = """
ALTER TABLE jobs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN retry_at TEXT;

CREATE INDEX jobs_to_retry ON jobs (retry_at) WHERE retry_at IS NOT NULL;
"""
