"""Reasons of jobs, of their history and of trials become codes with arguments instead of texts."""

from __future__ import annotations

# Texts stay as code `recorded`. Only what a running sweep or the queue depends on gets its own code: trials that the
# sweep cancelled (a resume of the sweep resumes them) or pruned, and queued jobs that wait for their turn.
_CODES = """CASE
    WHEN reason = 'waits for its turn' AND state = 'queued' THEN 'turn'
    WHEN reason IN ('Cancelled by its sweep', 'Cancelled by user') THEN 'cancelled' ELSE 'recorded' END"""
_ARGUMENTS = """CASE
    WHEN reason = 'waits for its turn' AND state = 'queued' THEN '{}'
    WHEN reason = 'Cancelled by its sweep' THEN '{"by":"sweep"}'
    WHEN reason = 'Cancelled by user' THEN '{"by":"user"}' ELSE json_object('text', reason) END"""

SCRIPT = f"""
ALTER TABLE jobs ADD COLUMN reason_code TEXT NOT NULL DEFAULT 'recorded';

ALTER TABLE jobs ADD COLUMN reason_args TEXT NOT NULL DEFAULT '{{}}';

UPDATE jobs SET reason_code = {_CODES}, reason_args = {_ARGUMENTS};

DROP INDEX jobs_in_line;

DROP INDEX jobs_told;

DROP INDEX jobs_waiting;

ALTER TABLE jobs DROP COLUMN reason;

CREATE INDEX jobs_in_line ON jobs (priority, user_id, owner_kind, place, created_on, id, owner_id, network, action,
    parent_id, state, reason_code, reason_args, devices_wanted, queued_at, site) WHERE state = 'queued' AND site = '';

CREATE INDEX jobs_by_reason ON jobs (reason_code, state, site) WHERE state = 'queued' AND site = '';

CREATE INDEX jobs_waiting ON jobs (parent_id, owner_id, reason_code, reason_args, state) WHERE state = 'waiting';

ALTER TABLE history ADD COLUMN reason_code TEXT NOT NULL DEFAULT 'recorded';

ALTER TABLE history ADD COLUMN reason_args TEXT NOT NULL DEFAULT '{{}}';

UPDATE history SET reason_args = json_object('text', reason);

ALTER TABLE history DROP COLUMN reason;

ALTER TABLE trials ADD COLUMN reason_code TEXT;

ALTER TABLE trials ADD COLUMN reason_args TEXT NOT NULL DEFAULT '{{}}';

UPDATE trials SET reason_code = CASE WHEN reason LIKE 'pruned: %' THEN 'pruned' ELSE 'recorded' END, reason_args =
    CASE WHEN reason = 'pruned: the sweep was stopped early'
        THEN '{{"why":{{"code":"sweep_ended_early","arguments":{{}}}}}}'
    WHEN reason LIKE 'pruned: %'
        THEN json_object('why', json_object('code', 'recorded', 'arguments', json_object('text', substr(reason, 9))))
    ELSE json_object('text', reason) END
    WHERE reason <> '';

ALTER TABLE trials DROP COLUMN reason;
"""
