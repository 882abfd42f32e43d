"""A queue of lines: places that a user can change, the indices that it is read from, and the pause of all of it."""

from __future__ import annotations

# A place is when a job entered the queue, in nanoseconds since the epoch, so that there is room between two of them.
# `jobs_in_line` holds all that decides about a turn, so that a look at the queue never touches the wide rows; the two
# small ones find those who were told something else than most are, and those who want more devices than there are.
SCRIPT = """
ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;

UPDATE jobs SET place = CAST(strftime('%s', queued_at) AS INTEGER) * 1000000000
    + CAST(substr(queued_at, 21, 6) AS INTEGER) * 1000 WHERE queued_at IS NOT NULL;

DROP INDEX jobs_queued;

CREATE INDEX jobs_in_line ON jobs (priority, user_id, owner_kind, place, created_on, id, owner_id, network, action,
    parent_id, state, reason, devices_wanted, queued_at) WHERE state = 'queued';

CREATE INDEX jobs_told ON jobs (reason, state) WHERE state = 'queued';

CREATE INDEX jobs_that_want ON jobs (owner_kind, devices_wanted, state) WHERE state = 'queued';

CREATE INDEX jobs_by_start ON jobs (user_id, started_at) WHERE started_at IS NOT NULL;

CREATE TABLE queue_pause (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
"""
