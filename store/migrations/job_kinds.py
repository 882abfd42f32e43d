"""Jobs have a kind; until now a sweep was a job that wanted no device."""

from __future__ import annotations

# `jobs_in_line` holds all that a scheduling pass reads of a queued job.
SCRIPT = """
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'run' CHECK (kind IN ('run', 'sweep'));

UPDATE jobs SET kind = 'sweep' WHERE id IN (SELECT job_id FROM sweeps);

DROP INDEX jobs_in_line;

CREATE INDEX jobs_in_line ON jobs (priority, user_id, owner_kind, place, created_on, id, owner_id, network, action,
    parent_id, state, reason_code, reason_args, kind, devices_wanted, queued_at, site)
    WHERE state = 'queued' AND site = '';

DROP INDEX jobs_elsewhere;

CREATE INDEX jobs_on_clusters ON jobs (site, priority DESC, place, created_on, id, state)
    WHERE state = 'queued' AND site <> '';

UPDATE jobs SET warnings = replace(warnings, '"mended":', '"repaired":') WHERE warnings LIKE '%"status_lines"%';
"""
