"""What lists, counts and the scheduler ask, from indices that hold all of it, and kept counts."""

from __future__ import annotations

# The counts of a user's jobs by state are kept by triggers, because counting costs as much as there are jobs, for the
# total of each list and each of the dashboard's figures.
# `jobs_of_owner` holds all that a dataset or model shows of its jobs but the results. The two indices of what waits
# hold only that, so that a look at the queue costs what is in it; their conditions stand in the queries word for word,
# and `state` stands in them because SQLite checks it once more.
SCRIPT = """
DROP INDEX jobs_by_owner;

CREATE INDEX jobs_of_owner ON jobs (owner_id, created_on, id, owner_kind, action, parent_id, state, last_modified);

CREATE INDEX jobs_queued ON jobs (priority DESC, queued_at, created_on, id, owner_kind, devices_wanted, reason, state)
    WHERE state = 'queued';

CREATE INDEX jobs_in_state ON jobs (id, state);

CREATE INDEX jobs_waiting ON jobs (parent_id, owner_id, reason, state) WHERE state = 'waiting';

CREATE TABLE job_counts (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (user_id, state)
) STRICT, WITHOUT ROWID;

INSERT INTO job_counts SELECT user_id, state, count(*) FROM jobs GROUP BY user_id, state;

CREATE TRIGGER job_counted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_counts VALUES (new.user_id, new.state, 1)
        ON CONFLICT (user_id, state) DO UPDATE SET number = number + 1;
END;

CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE job_counts SET number = number - 1 WHERE user_id = old.user_id AND state = old.state;
    INSERT INTO job_counts VALUES (new.user_id, new.state, 1)
        ON CONFLICT (user_id, state) DO UPDATE SET number = number + 1;
END;

CREATE TRIGGER job_uncounted AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET number = number - 1 WHERE user_id = old.user_id AND state = old.state;
END;
"""
