"""An older file keeps the warnings of its jobs, as objects with a code."""

from __future__ import annotations

import json
from pathlib import Path

from store import Store
from store.database import Database
from store.migrations import STEPS, migrate
from taod.types.warning import WarningCode
from taod.types.warning_text import text

BEFORE = dict(list(STEPS.items())[: list(STEPS).index("warnings_as_data")])
AT = "2024-03-01T10:00:00.000001+00:00"
TEXTS = [
    "no spec was saved for train: the schema's default is used",
    "Stalled: no line of log or status for 30 min",
    "Lines of status.json: 2 not read, no JSON object; 1 not read, longer than 16 MiB; 3 read with bytes that are no "
    "UTF-8",
    "Lines of status.json: unknown words",
]


def test_warnings_of_an_older_file_are_kept_and_get_a_code(tmp_path: Path) -> None:
    database = Database(tmp_path / "taod.db")
    migrate(database, BEFORE)
    database.write("INSERT INTO users VALUES ('u', 'ada', ?)", [AT])
    database.write(
        """INSERT INTO datasets (id, user_id, name, name_key, description, logo, version, type, format, created_on,
        last_modified, state) VALUES ('d', 'u', '', '', '', '', '', '', '', ?1, ?1, 'ready')""",
        [AT],
    )
    for name, warnings in {"some": TEXTS, "none": []}.items():
        database.write(
            """INSERT INTO jobs (id, user_id, dataset_id, owner_kind, owner_id, network, action, state, reason,
            created_on, last_modified, priority, devices_wanted, devices, attempt, progress, warnings, search_key)
            VALUES (?1, 'u', 'd', 'dataset', 'd', '', 'convert', 'done', '', ?2, ?2, 0, 1, '[]', 0, '{}', ?3, '')""",
            [name, AT, json.dumps(warnings)],
        )
    database.close()
    store = Store.open(tmp_path / "taod.db")
    job = store.jobs.get("some")
    assert job is not None
    assert [text(warning) for warning in job.warnings] == TEXTS
    assert [warning.code for warning in job.warnings] == [
        WarningCode.RECORDED,
        WarningCode.STALLED,
        WarningCode.STATUS_LINES,
        WarningCode.RECORDED,
    ]
    assert job.warnings[2].arguments == {"broken": 2, "oversized": 1, "repaired": 3, "limit_bytes": 16 << 20}
    other = store.jobs.get("none")
    assert other is not None and other.warnings == []
    store.close()
