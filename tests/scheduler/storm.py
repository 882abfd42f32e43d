"""A storm: hundreds of short jobs over HTTP, and a daemon that is killed (SIGKILL) at random instants, again and again.
On request the file of the database is moved away and back, between the kills and during some of them.

Jobs are single, chains, on two GPUs, failing, cancelled, paused and resumed, held, moved, and the whole queue is closed
now and then; the GPUs are a scenario of the fake NVML.
Each start of a tool is a line in a file, so that a run that began twice cannot hide.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvml_scenario import Scenario, gpu
from storm_judge import Asked, judge

from store import Store
from taod.cli.commands.doctor_root import examine_root, marked
from taod.client import AsyncClient
from taod.client.errors import ClientError, NoDaemon
from taod.client.find import find
from taod.paths import Root
from taod.types.common import DaemonInfo
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobPatch, JobRun, JobView
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
TOOL = """#!/bin/sh
# A network's entry point; the name of its loss says what it does: `fail`, `long` (a second) or be done at once.
echo "$TAOD_RUN" >> "@STARTS@"
while [ $# -gt 0 ]; do
  case $1 in
    --results_dir=*) results=${1#--results_dir=} ;;
    --results_dir) results=$2 ;;
    --experiment_spec_file=*) spec=${1#--experiment_spec_file=} ;;
  esac
  shift
done
results=${results%/}
mkdir -p "$results/train"
trap 'exit 143' TERM
say() { echo "{\\"status\\": \\"$1\\", \\"message\\": \\"$2\\", \\"epoch\\": 1}" >> "$results/status.json"; }
say RUNNING working
kind=$(grep -o 'type: kind_.*' "$spec")
case ${kind#type: kind_} in
  fail) say FAILURE boom; exit 3 ;;
  long) sleep 1 ;;
  short) sleep 0.1 ;;
esac
printf 'weights' > "$results/train/epoch_1.pth"
say SUCCESS finished
"""
KINDS = ("quick", "short", "fail", "long", "wide")
SHAPES = (
    ("quick", ["train"], 6),
    ("short", ["train"], 4),
    ("fail", ["train"], 2),
    ("quick", ["train", "evaluate"], 4),
    ("fail", ["train", "evaluate"], 2),
    ("long", ["train"], 2),
    ("wide", ["train"], 3),
)
"""Model, chain of actions, how often in relation to the others."""
MEDDLED = (State.RUNNING, State.QUEUED, State.WAITING, State.PAUSED, State.HELD)
EDITS = {
    State.WAITING: (JobPatch(held=True), JobPatch(priority=3)),
    State.QUEUED: (
        *(JobPatch(held=True), JobPatch(priority=-2), JobPatch(priority=5)),
        *(JobPatch(position="front"), JobPatch(position="back")),
    ),
}
GROUNDS = {
    "gpus": "",
    "shared gpus": "devices.slots_per_gpu = 2\nscheduler.exclusive = ['evaluate']\n",
    "cpu slots": "devices.gpus = false\ndevices.cpu_slots = 4\nscheduler.max_running_per_user = 3\n",
}
"""What the daemon runs on: four GPUs of a driver's stand-in, as they are or with two slots each, or four CPU slots."""
RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)
"""Begins a record of the daemon's log."""
WITHOUT_DATABASE = (
    "the database is lost",
    "the database cannot be opened",
    "failed with 503",
    "what was stored is copied to",
)
"""What the daemon's log says while the database is away."""
PARENT_ENDED = re.compile(r"Failed because its parent .* failed")
"""Why a job failed that is not notified: its parent is."""
ENDED = (State.DONE, State.FAILED, State.CANCELLED)
END_S = 120.0


@dataclass
class Figures:
    """Results of a storm."""

    kills: int = 0
    during_start: int = 0
    moves: int = 0
    """How often the database was moved away and back."""
    jobs: int = 0
    starts: int = 0
    notified: int = 0
    """Notifications that the target has got."""
    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    closings: int = 0
    """Short pauses of the whole queue."""
    edits: int = 0
    """Holds, moves, changes of priority."""
    faults: list[str] = field(default_factory=list)


class Storm:
    """One storm over one root."""

    def __init__(self, folder: Path, *, kills: int, seed: int, context: str = "gpus", moves: bool = False) -> None:
        self.folder = folder
        self.root = Root(folder / "root")
        self.starts_file = folder / "starts"
        self.starts_file.touch()
        self.kills = kills
        self.random = random.Random(seed)
        self.context = context
        self.moves = moves
        """Whether the database is moved away and back."""
        self.figures = Figures()
        self.model_of: dict[str, str] = {}
        self.asked: dict[str, Asked] = {}
        self.open: list[str] = []
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.client: AsyncClient | None = None
        self.process: asyncio.subprocess.Process | None = None
        self._scenario = Scenario(folder, *(gpu(number) for number in range(4)))
        self._models: dict[str, str] = {}

    async def run(self) -> Figures:
        """Run the storm, then check all jobs and leftovers. The daemon has ended afterwards."""
        began = time.monotonic()
        self._write_tool()
        try:
            await self._serve()
            await self._prepare()
            self.up.set()
            tasks = [asyncio.create_task(self._post()), asyncio.create_task(self._meddle())]
            await self._kill_and_restart()
            self.over.set()
            await asyncio.gather(*tasks)
            await asyncio.wait_for(self._calm(), END_S)
            await self._examine()
        finally:
            if self.client is not None:
                await self.client.aclose()
            if self.process is not None and self.process.returncode is None:
                self.process.terminate()
                await self.process.wait()
        self._look_behind()
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def _write_tool(self) -> None:
        tools = self.folder / "bin"
        tools.mkdir()
        (tools / "classification_pyt").write_text(TOOL.replace("@STARTS@", str(self.starts_file)))
        (tools / "classification_pyt").chmod(0o755)
        (self.folder / "taod.toml").write_text(
            f'storage.link_roots = ["{self.folder}"]\nscheduler.grace_s = 5.0\n'
            f'runner.order = ["native"]\nrunner.native.path = ["{tools}"]\n{GROUNDS[self.context]}'
            f'[[notify.target]]\nname = "file"\nevents = ["done", "failed"]\n'
            f"""command = ["sh", "-c", 'printf "%s\\n" "$(cat)" >>"$0"', "{self.folder / "notified"}"]\n"""
        )

    async def _serve(self, *, wait: bool = True) -> None:
        environment = {**os.environ, **self._scenario.environment()}
        environment["PYTHONPATH"] = f"{REPOSITORY}{os.pathsep}{environment['PYTHONPATH']}"
        with (self.folder / "errors").open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "taod", "serve", "--root", str(self.root.path), "--port", "0"),
                *("--config", str(self.folder / "taod.toml")),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        if wait:
            assert self.process.stdout is not None
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
            assert line, f"the daemon did not start: {(self.folder / 'errors').read_text()[-2000:]}"
            if self.client is not None:
                await self.client.aclose()
            self.client = AsyncClient.from_info(await asyncio.to_thread(self._find))

    def _find(self) -> DaemonInfo:
        """The daemon, which may take longer than a client waits on a busy machine."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return find(self.root.path)
            except NoDaemon:
                if time.monotonic() > deadline:
                    raise

    async def _prepare(self) -> None:
        images = self.folder / "images"
        for name in ("cat", "dog"):
            (images / "images_train" / name).mkdir(parents=True, exist_ok=True)
            (images / "images_train" / name / "1.png").write_bytes(PNG)
        (images / "classes.txt").write_text("cat\ndog\n")
        assert self.client is not None
        data = await self.client.datasets.create(
            DatasetCreate(type="image_classification", format="classification_pyt", name="images")
        )
        await self.client.datasets.link(data.id, str(images))
        for kind in KINDS:
            model = await self.client.models.create(
                ModelCreate(
                    network_arch="classification_pyt",
                    name=kind,
                    train_datasets=[data.id],
                    eval_dataset=data.id,
                )
            )
            if kind == "wide" and self.context == "cpu slots":
                continue  # A machine without GPUs rejects it.
            self._models[kind] = model.id
            loss = {"head": {"loss": {"type": f"kind_{kind}"}}}
            spec = {"model": loss, "train": {"num_gpus": 2 if kind == "wide" else 1}}
            await self.client.specs.save("model", model.id, "train", spec)

    async def _kill_and_restart(self) -> None:
        while self.figures.kills < self.kills:
            # The instants of the kills, not waits for something.
            await asyncio.sleep(self.random.choice((0.02, 0.1, 0.3, 0.6)) * self.random.uniform(0.3, 1.5))
            killed_without = self.moves and self.random.random() < 0.3
            with self._database_away() if killed_without else contextlib.nullcontext():
                if killed_without:
                    await asyncio.sleep(self.random.uniform(0.0, 0.3))
                self.up.clear()
                await self._kill()
            while self.figures.kills < self.kills and self.random.random() < 0.2:
                await self._serve(wait=False)
                await asyncio.sleep(self.random.uniform(0.0, 1.2))
                self.figures.during_start += 1
                await self._kill()
            await self._serve()
            self.up.set()
            if self.moves and self.random.random() < 0.6:
                await asyncio.sleep(self.random.uniform(0.0, 0.3))
                with self._database_away():
                    await asyncio.sleep(self.random.uniform(0.0, 0.6))

    @contextlib.contextmanager
    def _database_away(self) -> Iterator[None]:
        """Move the file of the database away during the block, and back."""
        away = self.root.database.with_name("away.db")
        self.root.database.rename(away)
        self.figures.moves += 1
        try:
            yield
        finally:
            away.rename(self.root.database)

    async def _kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.figures.kills += 1

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncClient | None]:
        """A client of the daemon of now, which may die before it has answered."""
        await self.up.wait()
        with contextlib.suppress(ClientError, NoDaemon, OSError, RuntimeError):
            yield self.client

    async def _post(self) -> None:
        """Keep some jobs waiting all the time, so that every kill affects jobs."""
        names = [(kind, actions) for kind, actions, weight in SHAPES for _ in range(weight * (kind in self._models))]
        while not self.over.is_set():
            async with self._asking() as client:
                assert client is not None
                counts = await client.jobs.counts()
                waiting = counts.get(State.QUEUED, 0) + counts.get(State.WAITING, 0)
                for _ in range(6 if waiting < min(12, self.kills // 2) else 0):
                    kind, actions = self.random.choice(names)
                    self.open += await client.jobs.run("model", self._models[kind], JobRun(actions=actions))
            await asyncio.sleep(0.02)

    async def _meddle(self) -> None:
        """Cancel, pause and resume some jobs; hold, release and move waiting ones; pause the queue briefly."""
        while not self.over.is_set():
            await asyncio.sleep(self.random.uniform(0.02, 0.2))
            async with self._asking() as client:
                assert client is not None
                if self.random.random() < 0.08:
                    self.figures.closings += 1
                    await client.queue.pause("a storm")
                    await asyncio.sleep(self.random.uniform(0.05, 0.4))
                if (await client.queue.state()).paused:
                    await client.queue.resume()
                page = await client.jobs.list(state=list(MEDDLED), size=30)
                if page.items:
                    await self._meddle_with(client, self.random.choice(page.items))

    async def _meddle_with(self, client: AsyncClient, job: JobView) -> None:
        chance = self.random.random()
        if job.state is State.PAUSED:
            await client.jobs.resume(job.id)
        elif job.state is State.HELD:
            await client.jobs.update(job.id, JobPatch(held=False))
        elif job.state is State.RUNNING and chance < 0.6:
            await self._stop(job.id, client.jobs.pause)
        elif chance < 0.25:
            await self._stop(job.id, client.jobs.cancel)
        elif job.state in (State.QUEUED, State.WAITING):
            self.figures.edits += 1
            await client.jobs.update(job.id, self.random.choice(EDITS[job.state]))

    async def _stop(self, job_id: str, ask: Callable[[str], Awaitable[JobView]]) -> None:
        """Request an end and record the answer."""
        asked = self.asked.setdefault(job_id, Asked())
        try:
            view = await ask(job_id)
        except ClientError as error:
            asked.perhaps |= error.status == 0 or error.status >= 500
            raise
        except (OSError, RuntimeError):
            asked.perhaps = True
            raise
        asked.answered(view)

    async def _calm(self) -> None:
        """Wait until every job has ended; resume paused jobs and release held ones."""
        assert self.client is not None
        await self.client.queue.resume()
        async for _ in self._events_with_a_first():
            for job in (await self.client.jobs.list(state=State.PAUSED)).items:
                await self.client.jobs.resume(job.id)
            for job in (await self.client.jobs.list(state=State.HELD)).items:
                await self.client.jobs.update(job.id, JobPatch(held=False))
            counts = await self.client.jobs.counts()
            if not any(count for state, count in counts.items() if state not in ENDED):
                return

    async def _events_with_a_first(self) -> AsyncIterator[tuple[Any, Any]]:
        yield None, None
        assert self.client is not None
        async with contextlib.aclosing(self.client.events.stream()) as events:
            async for event in events:
                yield event

    async def _examine(self) -> None:
        """Check every job, including jobs whose post was not answered."""
        assert self.client is not None
        starts = Counter(self.starts_file.read_text().split())
        per_job = Counter(line.partition("/")[0] for line in starts.elements())
        self.figures.starts = starts.total()
        fault = self.figures.faults.append
        for run, count in starts.items():
            if count != 1:
                fault(f"run {run} began {count} times")
        skip, details = 0, []
        while True:
            page = await self.client.jobs.list(skip=skip, size=200, sort="date-ascending")
            details += [await self.client.jobs.get(job.id) for job in page.items]
            skip += len(page.items)
            if not page.items:
                break
        known = {detail.job.id: detail for detail in details}
        self.figures.jobs = len(details)
        for job_id in self.open:
            if job_id not in known:
                fault(f"job {job_id}, which was answered, is lost")
        for job_id in per_job:
            if job_id not in known:
                fault(f"a run of job {job_id} began, but the daemon does not list the job")
        for detail in details:
            self.figures.states[detail.job.state.value] += 1
            asked = self.asked.get(detail.job.id, Asked())
            self.figures.faults += judge(detail, known, asked, per_job[detail.job.id])
        await self._examine_notifications(details)

    async def _examine_notifications(self, details: list[JobDetail]) -> None:
        """Each end that is notified is so once."""
        assert self.client is not None
        async with asyncio.timeout(PATIENCE_S):
            while (await self.client.notifications.state()).undelivered:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.1)
        sent = [json.loads(line) for line in (self.folder / "notified").read_text().splitlines()]
        self.figures.notified = len(sent)
        found = Counter((each["job"], each["event"]) for each in sent)
        wanted = Counter(
            (each.job.id, str(each.job.state))
            for each in details
            if each.job.state in (State.DONE, State.FAILED) and not PARENT_ENDED.match(each.job.reason)
        )
        if found != wanted:
            self.figures.faults.append(f"notifications: {found - wanted} too many, {wanted - found} lost")

    def _look_behind(self) -> None:
        """Check what remains after the daemon."""
        fault = self.figures.faults.append
        store = Store.open(self.root.database)
        leases = store.leases.all()
        store.close()
        if leases:
            fault(f"leases are left: {leases}")
        for pid, job_id in marked(self.root):
            fault(f"process {pid} of job {job_id} is left")
        for finding in examine_root(self.root):
            if not finding.ok:
                fault(f"doctor: {finding.what}: {finding.found}")
        for record in RECORD.split(self.root.log_file.read_text(errors="replace")):
            if " ERROR " in record and not (self.moves and any(words in record for words in WITHOUT_DATABASE)):
                fault(f"the daemon's log: {record}")
