"""Jobs whose runs hold no device of this machine, and jobs for which a runner was asked for."""

from __future__ import annotations

# Those of this machine and those of a site are two queues, each with an index that holds no other.
SCRIPT = """
ALTER TABLE jobs ADD COLUMN site TEXT NOT NULL DEFAULT '';

ALTER TABLE jobs ADD COLUMN asked_runner TEXT;

DROP INDEX jobs_queued;

CREATE INDEX jobs_queued
    ON jobs (priority DESC, queued_at, created_on, id, owner_kind, devices_wanted, reason, state, site)
    WHERE state = 'queued' AND site = '';

CREATE INDEX jobs_elsewhere ON jobs (site, priority DESC, queued_at, created_on, id, state)
    WHERE state = 'queued' AND site <> '';
"""
