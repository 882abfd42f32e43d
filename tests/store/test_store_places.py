"""An older file gets places in the queue from the times at which its jobs entered it."""

from __future__ import annotations

from pathlib import Path

from store import Store
from store.database import Database
from store.migrations import STEPS, migrate

BEFORE = dict(list(STEPS.items())[: list(STEPS).index("queue_limits")])
TIMES = {"late": "2024-03-01T10:00:00.000002+00:00", "early": "2024-03-01T10:00:00.000001+00:00", "never": None}


def test_an_older_file_keeps_the_order_of_its_queue(tmp_path: Path) -> None:
    database = Database(tmp_path / "taod.db")
    migrate(database, BEFORE)
    at = TIMES["early"]
    database.write("INSERT INTO users VALUES ('u', 'ada', ?)", [at])
    database.write(
        """INSERT INTO datasets (id, user_id, name, name_key, description, logo, version, type, format, created_on,
        last_modified, state) VALUES ('d', 'u', '', '', '', '', '', '', '', ?1, ?1, 'ready')""",
        [at],
    )
    for name, queued_at in TIMES.items():
        state = "queued" if queued_at else "waiting"
        database.write(
            """INSERT INTO jobs (id, user_id, dataset_id, owner_kind, owner_id, network, action, state, reason,
            created_on, last_modified, priority, devices_wanted, devices, attempt, progress, warnings, search_key,
            queued_at) VALUES (?1, 'u', 'd', 'dataset', 'd', '', 'convert', ?2, '', ?3, ?3, 0, 1, '[]', 0, '{}', '[]',
            '', ?4)""",
            [name, state, at, queued_at],
        )
    database.close()
    store = Store.open(tmp_path / "taod.db")
    (first,) = store.queue.fronts()
    places = {job.id: job.place for job in [first, *store.queue.behind(first)]}
    assert list(places) == ["early", "late"]
    assert places["early"] == 1_709_287_200_000_001_000
    never = store.jobs.get("never")
    assert never is not None and never.place == 0 and store.queue.paused() is None
    store.close()
