"""The log of a sweep: one line per step, in the job's log file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from store.records import TrialRecord
from taod import plain_file
from taod.automl.trials import RungEnd
from taod.clock import Clock, iso
from taod.types.reason_text import text

_log = logging.getLogger(__name__)


class SweepLog:
    """Appends lines; a line that cannot be written (full disk) is dropped."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def write(self, line: str) -> None:
        """Append a line after the time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            appended = plain_file.descriptor(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
            with os.fdopen(appended, "a", encoding="utf-8") as handle:
                handle.write(f"{iso(self._clock.time())} {line}\n")
        except OSError:
            _log.exception("a line of %s could not be written", self._path)

    def started(self, trial: TrialRecord) -> None:
        chosen = ", ".join(f"{path} = {value}" for path, value in trial.params.items())
        until = f" up to epoch {trial.epochs}" if trial.epochs is not None else ""
        behind = f", from the checkpoint of trial {trial.source}" if trial.source is not None else ""
        self.write(f"trial {trial.number}{until}{behind}: {chosen}")

    def ended(self, trial: TrialRecord, ended: RungEnd, metric: str) -> None:
        last = f", {metric} {ended.scores[max(ended.scores, key=int)]:.6g}" if ended.scores else ""
        why = f": {text(ended.reason).splitlines()[0]}" if ended.reason else ""
        self.write(f"trial {trial.number} {ended.outcome} at epoch {ended.trained}{last}{why}")
