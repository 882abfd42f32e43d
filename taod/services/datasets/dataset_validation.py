"""Full checks of datasets: started after uploads, one at a time, each in its own process.

A check runs the engine's command line (`dataset check`) but is not a job: it takes no device, is not queued, and does
not block the use of the data. The folder `reviews/<dataset>/` in the root has its report and status lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

import msgspec
import yaml

from runners.embedded import Embedded
from runners.protocol import Command, RunRequest, StartFailed
from store import Store
from store.records import DatasetRecord
from taod import plain_file
from taod.clock import Clock, iso
from taod.config import DatasetsConfig
from taod.errors import BadRequest, NotFound
from taod.paths import Root
from taod.services.datasets.dataset_records import DatasetRecords
from taod.services.resources import remove_folder
from taod.telemetry.publisher import Publisher
from taod.types.dataset import CheckProgress, CheckState, DatasetReport
from taod.watch import FolderWatch

log = logging.getLogger("taod.checks")

TAIL_BYTES = 4096
"""Size of the end of status.json that is read for the progress."""
GRACE_S = 10.0
NOT_STARTED = "The check will start"


class _Line(msgspec.Struct):
    message: str = ""
    kpi: dict[str, float] = {}


class _Check:
    """A waiting or running check."""

    def __init__(self, record: DatasetRecord, deep: bool) -> None:
        self.record = record
        self.deep = deep
        self.state = CheckState.WAITING
        self.progress = 0.0
        """The highest progress reported by a status line; the last lines of a run report none."""
        self.started_on: str | None = None
        self.cancelled = False
        self.failed = ""
        self.process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None

    def progress_with(self, line: _Line) -> float:
        """Update the progress with a status line and return it."""
        self.progress = max(self.progress, line.kpi.get("progress", 0.0))
        return self.progress


class Checks:
    """Starts, watches, cancels and reports checks."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        engine: Embedded,
        records: DatasetRecords,
        publisher: Publisher,
        config: DatasetsConfig,
        clock: Clock,
    ) -> None:
        self._store = store
        self._root = root
        self._engine = engine
        self._records = records
        self._publisher = publisher
        self._config = config
        self._clock = clock
        self._active: dict[str, _Check] = {}
        """Dataset id → its waiting or running check."""
        self._running = asyncio.Semaphore(1)
        self._stopping = False

    def start(self) -> None:
        """Start the checks that the last daemon did not finish."""
        for wanted in sorted(self._root.reviews.glob("*/wanted")):
            record = self._store.datasets.get(wanted.read_text().strip(), wanted.parent.name)
            if record is not None and record.has_data:
                self._begin(record, deep=False)
            else:
                wanted.unlink(missing_ok=True)

    async def stop(self) -> None:
        """End running checks; the next daemon starts them again."""
        self._stopping = True
        await asyncio.gather(*(self._end(one) for one in list(self._active.values())))

    def begin(self, user_id: str, dataset_id: str, *, deep: bool) -> DatasetReport:
        """Start a check; a running one is restarted. Raises NotFound; BadRequest if the dataset has no data."""
        record = self._records.get(user_id, dataset_id)
        if not record.has_data:
            raise BadRequest(f"dataset {record.name!r} has no files to check: upload or link them first")
        self._begin(record, deep=deep)
        return self.report(user_id, record.id)

    async def cancel(self, user_id: str, dataset_id: str) -> DatasetReport:
        """End a running or waiting check. Raises NotFound for an unknown dataset, or one without a check."""
        record = self._records.get(user_id, dataset_id)
        one = self._active.get(record.id)
        if one is None:
            raise NotFound(f"no check of dataset {record.name!r} is running; GET …/report has the last one's result")
        one.cancelled = True
        await self._end(one)
        return self.report(user_id, record.id)

    def report(self, user_id: str, dataset_id: str) -> DatasetReport:
        """The progress of the active check, or the result of the last one. Raises NotFound."""
        record = self._records.get(user_id, dataset_id)
        folder = self._root.review(record.id)
        one = self._active.get(record.id)
        now = None if record.summary is None else record.summary.fingerprint
        if one is not None:
            line = _last_line(folder / "status.json") if one.state is CheckState.RUNNING else _Line()
            return DatasetReport(
                one.state,
                line.message or NOT_STARTED,
                deep=one.deep,
                progress=one.progress_with(line),
                fingerprint=now,
                started_on=one.started_on,
            )
        found = _read(folder / "report.json")
        if found is None:
            off = "" if self._config.check == "auto" else " (datasets.check is off)"
            return DatasetReport(CheckState.NONE, f"This data was not checked{off}; POST …/check starts a check")
        if found.state is CheckState.DONE and found.fingerprint != now:
            found.state = CheckState.OUTDATED
            found.message = f"{found.message}; the data has changed since, POST …/check starts a new check"
        return found

    def data_changed(self, user_id: str, dataset_id: str) -> None:
        """Start a check after `datasets.check_after_s`, unless `datasets.check` is off."""
        if self._config.check == "auto" and not self._stopping:
            record = self._store.datasets.get(user_id, dataset_id)
            if record is not None and record.has_data:
                self._begin(record, deep=False, after_s=self._config.check_after_s)

    def forget(self, dataset_id: str) -> None:
        """End the check of a deleted dataset and delete its report."""
        one = self._active.get(dataset_id)
        if one is not None and one.task is not None:
            one.task.cancel()
        remove_folder(self._root.review(dataset_id))

    def _begin(self, record: DatasetRecord, *, deep: bool, after_s: float = 0.0) -> None:
        earlier = self._active.get(record.id)
        if earlier is not None and earlier.task is not None:
            earlier.task.cancel()
        folder = self._root.review(record.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "wanted").write_text(record.user_id)
        one = self._active[record.id] = _Check(record, deep)
        self._publish(one)
        one.task = asyncio.get_running_loop().create_task(self._follow(one, folder, after_s))
        one.task.add_done_callback(lambda _: self._on_task_end(one, folder))

    async def _follow(self, one: _Check, folder: Path, after_s: float) -> None:
        try:
            await asyncio.sleep(after_s)  # several uploads in a row are checked once
            async with self._running:
                one.state, one.started_on = CheckState.RUNNING, iso(self._clock.time())
                self._publish(one)
                one.failed = await self._run(one, folder)
        except Exception as error:
            log.exception("the check of dataset %s failed", one.record.id)
            one.failed = str(error)

    def _on_task_end(self, one: _Check, folder: Path) -> None:
        """A callback of the task, since a task that is cancelled before its first step runs no `finally`."""
        if self._active.get(one.record.id) is one:
            del self._active[one.record.id]
            if not self._stopping:
                self._finalize(one, folder)

    def _finalize(self, one: _Check, folder: Path) -> None:
        """Write and publish the report, also of a failed or cancelled check; no report for a deleted dataset."""
        if self._store.datasets.get(one.record.user_id, one.record.id) is None or not folder.is_dir():
            remove_folder(folder)
            return
        found = _read(folder / "report.json")
        if one.cancelled or one.failed or found is None:
            state = CheckState.CANCELLED if one.cancelled else CheckState.FAILED
            message = "Cancelled by user" if one.cancelled else one.failed or "The check left no report"
            found = DatasetReport(state, message, deep=one.deep)
        found.started_on, found.ended_on = one.started_on, iso(self._clock.time())
        aside = folder / ".report.json"
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
        aside.replace(folder / "report.json")
        (folder / "wanted").unlink(missing_ok=True)
        ended = CheckProgress(one.record.id, found.state, found.message, 1.0, one.deep)
        self._publisher.check(one.record.user_id, ended)
        self._publisher.dataset(one.record.user_id, one.record.id, "checked", found.message)

    async def _run(self, one: _Check, folder: Path) -> str:
        """Run the engine. Returns why it failed; empty on success."""
        record = self._records.get(one.record.user_id, one.record.id)
        for name in ("status.json", "report.json", "samples.json"):
            (folder / name).unlink(missing_ok=True)
        spec = folder / "spec.yaml"
        spec.write_text(yaml.safe_dump(self._spec(record, one.deep), allow_unicode=True))
        argv = ["dataset", "check", f"--experiment_spec_file={spec}", f"--results_dir={folder}"]
        command = Command("dataset", "check", argv, "tao-ds")
        try:
            launch = self._engine.describe(RunRequest(record.id, 1, command, str(folder)))
        except StartFailed as error:
            return str(error)
        # Without the environment mark of runs: the process must not be attributed to a job.
        own = {name: value for name, value in launch.environment.items() if not name.startswith("TAOD_")}
        with (folder / "log.txt").open("wb") as out:
            one.process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env=self._engine.inherited() | own,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        publishing = asyncio.get_running_loop().create_task(self._publish_lines(one, folder))
        try:
            code = await one.process.wait()
        except asyncio.CancelledError:
            await _terminate(one.process)
            raise
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
        if code == 0 or one.cancelled:
            return ""
        return _last_line(folder / "status.json").message or f"exit code {code}; {folder / 'log.txt'} has details"

    async def _publish_lines(self, one: _Check, folder: Path) -> None:
        """Publish each status line that the engine writes."""
        published = _Line()
        async with FolderWatch(folder) as watch:
            while True:
                if (line := _last_line(folder / "status.json")) != published:
                    published = line
                    self._publish(one, line)
                await watch.changed()

    def _publish(self, one: _Check, line: _Line | None = None) -> None:
        line = line or _Line(message=NOT_STARTED if one.state is CheckState.WAITING else "")
        progress = CheckProgress(one.record.id, one.state, line.message, one.progress_with(line), one.deep)
        self._publisher.check(one.record.user_id, progress)

    def _spec(self, record: DatasetRecord, deep: bool) -> dict[str, object]:
        summary = record.summary
        dataset: dict[str, object] = {
            "root": str(self._records.folder(record)),
            "type": record.type,
            "format": record.format,
        }
        if summary is not None:
            dataset |= {"images": summary.images, "fingerprint": summary.fingerprint}
        return {"dataset": dataset, "deep": deep, "with_parent": True}

    async def _end(self, one: _Check) -> None:
        if one.task is not None:
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)


async def _terminate(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM, and SIGKILL after GRACE_S."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
            return


def _read(path: Path) -> DatasetReport | None:
    try:
        return msgspec.json.decode(plain_file.read(path), type=DatasetReport)
    except (OSError, msgspec.MsgspecError):
        return None


def _last_line(path: Path) -> _Line:
    """The last complete status line."""
    try:
        with plain_file.binary(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return _Line()
    for line in reversed(lines):
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(line, type=_Line)
    return _Line()
