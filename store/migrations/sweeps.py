"""Sweeps and their trials; a trial is a job that belongs to the sweep's job."""

from __future__ import annotations

# The index of what an owner shows of its jobs gets the new column: trials are shown by their sweep.
SCRIPT = """
ALTER TABLE jobs ADD COLUMN sweep_id TEXT REFERENCES jobs (id) ON DELETE CASCADE;

ALTER TABLE jobs ADD COLUMN trial INTEGER;

CREATE INDEX jobs_of_sweep ON jobs (sweep_id) WHERE sweep_id IS NOT NULL;

DROP INDEX jobs_of_owner;

CREATE INDEX jobs_of_owner ON jobs
    (owner_id, created_on, id, owner_kind, action, parent_id, state, last_modified, sweep_id);

CREATE TABLE sweeps (
    job_id TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    settings TEXT NOT NULL,
    space TEXT NOT NULL,
    notes TEXT NOT NULL,
    base TEXT NOT NULL,
    devices INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    began_at TEXT
) STRICT;

CREATE TABLE trials (
    sweep_id TEXT NOT NULL REFERENCES sweeps (job_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    job_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
    coordinates TEXT NOT NULL,
    params TEXT NOT NULL,
    memory TEXT NOT NULL,
    bracket INTEGER NOT NULL,
    rung INTEGER NOT NULL,
    epochs INTEGER,
    first_epochs INTEGER NOT NULL,
    source INTEGER,
    scores TEXT NOT NULL,
    trained INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    cleared INTEGER NOT NULL,
    PRIMARY KEY (sweep_id, number)
) STRICT;

CREATE INDEX trials_by_job ON trials (job_id);
"""
