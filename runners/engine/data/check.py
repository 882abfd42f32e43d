"""`dataset check`: reads all of a dataset and writes report.json, progress as status lines."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import msgspec

from runners.engine.errors import DataError
from runners.engine.interrupt import Interrupt
from runners.engine.run import Run
from runners.engine.spec import convert
from runners.engine.status import Pace
from taod.datasets.formats.validate import ContentCheck
from taod.types.dataset import DatasetReport

REPORT = "report.json"
SAMPLES = "samples.json"
_PR_SET_PDEATHSIG = 1
STATUS_S = 0.25
"""Seconds between status lines."""


class _Dataset(msgspec.Struct):
    root: str
    type: str
    format: str = "default"
    images: int = 0
    """How many items to expect, for the progress."""
    fingerprint: str | None = None


class Settings(msgspec.Struct):
    dataset: _Dataset
    deep: bool = False
    with_parent: bool = False
    """In the background of a daemon, which it does not outlive."""


def run(run: Run) -> str:
    """Check the dataset that the spec names. Raises DataError where there is none, Interrupted when asked to end."""
    settings = convert(run.document, Settings)
    top = Path(settings.dataset.root)
    if not top.is_dir():
        raise DataError(f"dataset.root: there is no folder {top}.")
    interrupt, pace = Interrupt().install(), Pace(STATUS_S)
    _step_back(settings.with_parent)
    try:
        examination = ContentCheck(top, settings.dataset.type, settings.dataset.format, deep=settings.deep)
        expected = max(settings.dataset.images, 1)

        def report_progress(items: int) -> None:
            interrupt.check()
            if pace.due():
                share = min(items / expected, 0.99)
                message = f"{items} items checked, {examination.problems} problems"
                run.status.running(message, cur_iter=items, kpi={"progress": round(share, 3)})

        report = examination.run(report_progress)
    except KeyError:
        raise DataError(f"dataset.type: {settings.dataset.type!r} is not a dataset type.") from None
    report.fingerprint = settings.dataset.fingerprint
    write(run.results / SAMPLES, msgspec.json.encode(examination.samples))
    write(run.results / REPORT, encoded(report))
    return report.message


def _step_back(with_parent: bool) -> None:
    """Run in the background of a daemon: lowest priority for cores, and end with the daemon."""
    if not with_parent:
        return
    os.nice(10)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def encoded(report: DatasetReport) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def write(path: Path, content: bytes) -> None:
    """A file whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
