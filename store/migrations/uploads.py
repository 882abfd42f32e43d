"""Where data came from: the job and the dataset behind a dataset, and the data that a job saw."""

from __future__ import annotations

# What a dataset was made from may be deleted and is remembered all the same: no foreign keys.
SCRIPT = """
ALTER TABLE datasets ADD COLUMN parent_job TEXT;

ALTER TABLE datasets ADD COLUMN parent_dataset TEXT;

ALTER TABLE jobs ADD COLUMN data TEXT NOT NULL DEFAULT '[]'
"""
