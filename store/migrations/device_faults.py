"""Why a device takes no run becomes a reason with a code, inside the reasons of jobs and histories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

_CODES = ("device_unfit", "devices")


def step(db: sqlite_utils.Database) -> None:
    for table in ("jobs", "history"):
        query = f"SELECT rowid, reason_args FROM {table} WHERE reason_code IN (?, ?)"
        for rowid, arguments in db.execute(query, _CODES).fetchall():
            converted = json.loads(arguments)
            for each in (converted, *converted.get("unavailable", ())):
                if "fault" in each:
                    each["fault"] = {"code": "recorded", "arguments": {"text": each["fault"]}}
            db.execute(f"UPDATE {table} SET reason_args = ? WHERE rowid = ?", [json.dumps(converted), rowid])
