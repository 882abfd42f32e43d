"""An older file keeps the summaries of its datasets."""

from __future__ import annotations

from pathlib import Path

import msgspec

from store import Store
from store.database import Database
from store.migrations import STEPS, migrate
from taod.types.dataset import BoxFigures, DatasetSummary, Spread

BEFORE = dict(list(STEPS.items())[: list(STEPS).index("boxes_per_image")])
AT = "2024-03-01T10:00:00.000001+00:00"


def test_the_boxes_per_image_of_an_older_file_are_kept(tmp_path: Path) -> None:
    spread = Spread(1.0, 2.0, 3.0)
    summary = DatasetSummary("ready", images=3, boxes=BoxFigures(6, spread, spread, spread))
    older = msgspec.json.encode(summary).decode().replace('"per_image"', '"per_picture"')
    database = Database(tmp_path / "taod.db")
    migrate(database, BEFORE)
    database.write("INSERT INTO users VALUES ('u', 'ada', ?)", [AT])
    database.write(
        """INSERT INTO datasets (id, user_id, name, name_key, description, logo, version, type, format, created_on,
        last_modified, state, summary) VALUES ('d', 'u', '', '', '', '', '', '', '', ?1, ?1, 'ready', ?2)""",
        [AT, older],
    )
    database.close()
    store = Store.open(tmp_path / "taod.db")
    dataset = store.datasets.get("u", "d")
    assert dataset is not None and dataset.summary == summary
    store.close()
