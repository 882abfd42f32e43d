"""What trackers of runs have of each job: the date of its last change that they have taken."""

from __future__ import annotations

SCRIPT = """
CREATE TABLE tracked (
    tracker TEXT NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seen TEXT NOT NULL,
    PRIMARY KEY (tracker, job_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tracked_of_job ON tracked (job_id);
"""
