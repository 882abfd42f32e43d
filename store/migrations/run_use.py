"""What each run used: the energy counters of its GPUs at its start, its energy, its peaks of memory."""

from __future__ import annotations

SCRIPT = """
ALTER TABLE runs ADD COLUMN energy_start TEXT NOT NULL DEFAULT '{}';

ALTER TABLE runs ADD COLUMN energy_wh REAL;

ALTER TABLE runs ADD COLUMN energy_shared INTEGER NOT NULL DEFAULT 0;

ALTER TABLE runs ADD COLUMN peak_rss_bytes INTEGER;

ALTER TABLE runs ADD COLUMN peak_gpu_memory_bytes INTEGER;
"""
