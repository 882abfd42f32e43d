"""Warnings of jobs become objects with a code instead of texts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

# The two warnings that a later run replaces get their code, so that they are still replaced; any other stays as text.
_LINES = "Lines of status.json: "
_STALLED = "Stalled: "
_LIMIT_BYTES = 16 * 1024 * 1024
_COUNTS = {
    "broken": re.compile(r"(\d+) not read, no JSON object"),
    "oversized": re.compile(r"(\d+) not read, longer"),
    "repaired": re.compile(r"(\d+) read with bytes"),
}


def step(db: sqlite_utils.Database) -> None:
    for job_id, warnings in db.execute("SELECT id, warnings FROM jobs WHERE warnings <> '[]'").fetchall():
        converted = json.dumps([_converted(text) for text in json.loads(warnings)])
        db.execute("UPDATE jobs SET warnings = ? WHERE id = ?", [converted, job_id])


def _converted(text: str) -> dict[str, object]:
    if text.startswith(_STALLED):
        return {"code": "stalled", "arguments": {"silence": text.removeprefix(_STALLED)}}
    found = {name: pattern.search(text) for name, pattern in _COUNTS.items()}
    counts = {name: int(match[1]) for name, match in found.items() if match is not None}
    if text.startswith(_LINES) and counts:
        return {"code": "status_lines", "arguments": {**counts, "limit_bytes": _LIMIT_BYTES}}
    return {"code": "recorded", "arguments": {"text": text}}
