"""Weights & Biases: a folder of offline runs for `wandb sync`, each written whole when its job ends or is paused."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from pathlib import Path

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no requests of the library's own

import msgspec
import wandb

from taod.trackers.run import Run, about, finals, points, specification
from taod.types.state import State

PROJECT = "taod"
"""Unless `wandb sync --project` names another one."""
WRITTEN = "taod.written"
"""A file in the folder of a run that is complete: the digest of what was written."""


class WandB:
    """Writes offline runs. What there is of a run is in its folder, whose name ends with the job's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, run: Run) -> None:
        """Write the whole run, unless it is there. One that was interrupted, or that the job has continued after it, is
        replaced if it was not synchronised yet. Raises OSError."""
        digest = hashlib.blake2b(msgspec.json.encode(run), digest_size=16).hexdigest()
        for former in self._folder.glob(f"wandb/offline-run-*-{run.id}"):
            mark = former / WRITTEN
            if mark.exists() and mark.read_text() == digest:
                return
            if not any(former.glob("*.synced")):
                shutil.rmtree(former)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._write(run) / WRITTEN).write_text(digest)

    def _write(self, run: Run) -> Path:
        """Write the run. Returns its folder."""
        quiet = {"console": "off", "silent": True, "disable_git": True, "disable_code": True}
        written = wandb.init(
            project=PROJECT,
            id=run.id,
            name=f"{run.action}-{run.id[:8]}" if run.trial is None else f"trial-{run.trial:03d}-{run.id[:8]}",
            group=run.owner_name if run.sweep_id is None else f"{run.sweep_action}-{run.sweep_id[:8]}",
            job_type=run.action,
            tags=[run.network],
            config=specification(run),
            dir=str(self._folder),
            mode="offline",
            settings=wandb.Settings(**quiet, x_disable_stats=True, x_disable_meta=True),
        )
        rows: dict[int, dict[str, float]] = {}
        for name, values in points(run).items():
            for step, value in values.items():
                rows.setdefault(max(step, 0), {})[name] = math.nan if value is None else value
        for step in sorted(rows):
            written.log(rows[step], step=step)
        found: dict[str, object] = {**about(run), **finals(run)}
        for name, result in found.items():
            written.summary[name.replace(".", "_")] = result
        written.finish(exit_code=int(run.state in (State.FAILED, State.CANCELLED)))
        wandb.teardown()  # `finish` returns before the library's own process has written the file
        return Path(written.dir).parent
