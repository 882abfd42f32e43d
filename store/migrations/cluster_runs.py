"""Jobs whose runs hold no device of this machine, and jobs for which a runner was asked for."""

from __future__ import annotations

# Those of this machine and those of a site are two queues, each with indices that hold no other.
SCRIPT = """
ALTER TABLE jobs ADD COLUMN site TEXT NOT NULL DEFAULT '';

ALTER TABLE jobs ADD COLUMN asked_runner TEXT;

DROP INDEX jobs_in_line;

CREATE INDEX jobs_in_line ON jobs (priority, user_id, owner_kind, place, created_on, id, owner_id, network, action,
    parent_id, state, reason, devices_wanted, queued_at, site) WHERE state = 'queued' AND site = '';

DROP INDEX jobs_told;

CREATE INDEX jobs_told ON jobs (reason, state, site) WHERE state = 'queued' AND site = '';

DROP INDEX jobs_that_want;

CREATE INDEX jobs_that_want ON jobs (owner_kind, devices_wanted, state, site) WHERE state = 'queued' AND site = '';

CREATE INDEX jobs_elsewhere ON jobs (site, priority DESC, place, created_on, id, state)
    WHERE state = 'queued' AND site <> '';
"""
