"""The outbox: notifications, and one delivery of each for every target that gets it."""

from __future__ import annotations

SCRIPT = """
CREATE TABLE notifications (
    id TEXT PRIMARY KEY NOT NULL,
    event TEXT NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    job_id TEXT,
    key TEXT UNIQUE,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created_on TEXT NOT NULL
) STRICT;

CREATE INDEX notifications_by_user ON notifications (user_id);

CREATE INDEX notifications_by_date ON notifications (created_on);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY NOT NULL,
    notification_id TEXT NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    changed_on TEXT NOT NULL
) STRICT;

CREATE INDEX deliveries_of_notification ON deliveries (notification_id);

CREATE INDEX deliveries_by_target ON deliveries (target, state, changed_on);

CREATE INDEX deliveries_open ON deliveries (target, attempts) WHERE state IN ('pending', 'sending');

ALTER TABLE sweeps ADD COLUMN best REAL;
"""
