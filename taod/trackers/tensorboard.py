"""TensorBoard: one folder of event files, below it a folder for each model or dataset, in it one for each run."""

from __future__ import annotations

import html
import time
from pathlib import Path

from taod.clock import seconds_of
from taod.trackers.event_file import EventFile
from taod.trackers.run import Run, about, finals, flat, folder_name, points, specification, specification_text

MOST_OPEN = 32
"""Files whose points are kept in memory."""


class TensorBoard:
    """Writes event files. What a run's file has is read from the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, EventFile] = {}

    def write(self, run: Run) -> None:
        """Bring the run's event file up to date. Raises OSError."""
        path = self._path(run)
        file = self._open.pop(path, None) or EventFile(path)
        now_s = time.time() if run.ended_at is None else min(time.time(), seconds_of(run.ended_at))
        file.update(points(run), now_s, final=run.complete)
        # After the points: a session that starts among them replaces texts as well.
        if specified := specification_text(run):
            file.set_parameters({name: value for name, value in flat(specification(run)) if value is not None}, now_s)
            file.set_text("specification", f"<pre>{html.escape(specified)}</pre>", now_s)
        if run.complete:
            texts = about(run) | {name: _number(value) for name, value in finals(run).items()}
            rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in texts.items()]
            file.set_text("result", "\n".join(["| | |", "|---|---|", *rows]), now_s)
        file.save(durable=run.complete)
        if not run.complete:
            self._open[path] = file
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]

    def _path(self, run: Run) -> Path:
        """The run's event file. A name of the owner that has changed changes no folder."""
        owner = self._of(self._folder, run.owner_name, run.owner_id)
        if run.sweep_id is None:
            folder = self._of(owner, run.action, run.id)
        else:
            sweep = self._of(owner, run.sweep_action or run.action, run.sweep_id)
            folder = sweep / folder_name(f"trial-{run.trial:03d}", run.id)
        return folder / f"events.out.tfevents.{int(seconds_of(run.created_on))}.taod"

    def _of(self, folder: Path, name: str, id: str) -> Path:
        found = sorted(folder.glob(f"*-{id[:8]}"))
        return found[0] if found else folder / folder_name(name, id)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.10g}"


def _cell(value: str) -> str:
    return html.escape(" ".join(value.split())).replace("|", "&#124;")
