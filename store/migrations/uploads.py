"""Where data came from: the job and the data set behind a data set, and the data that a job saw."""

from __future__ import annotations

# What a data set was made from may be deleted and is remembered all the same: no foreign keys.
SCRIPT = """
ALTER TABLE datasets ADD COLUMN parent_job TEXT;

ALTER TABLE datasets ADD COLUMN parent_dataset TEXT;

ALTER TABLE jobs ADD COLUMN data TEXT NOT NULL DEFAULT '[]'
"""
