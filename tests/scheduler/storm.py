"""A storm: hundreds of short jobs over HTTP, and a daemon that is killed (SIGKILL) at random instants, again and again.

Jobs are single, chains, on two GPUs, failing, cancelled, paused and resumed; the GPUs are a scenario of the fake NVML.
Each start of a tool is a line in a file, so that a run that began twice cannot hide.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from nvml_scenario import Scenario, gpu

from store import Store
from taod.cli.doctor_root import examine_root, marked
from taod.client.errors import ClientError, NoDaemon
from taod.client.find import find
from taod.client.http import Client
from taod.paths import Root
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import TRANSITIONS, State

REPOSITORY = Path(__file__).parents[2]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
TOOL = """#!/bin/sh
# A network's entry point; its key says what it does: `fail`, `long` (a second) or be done at once.
echo "$TAOD_RUN" >> "@STARTS@"
while [ $# -gt 0 ]; do
  case $1 in
    --results_dir=*) results=${1#--results_dir=} ;;
    --results_dir) results=$2 ;;
    --key=*) key=${1#--key=} ;;
    -k|--key) key=$2 ;;
  esac
  shift
done
results=${results%/}
mkdir -p "$results/train"
trap 'exit 143' TERM
say() { echo "{\\"status\\": \\"$1\\", \\"message\\": \\"$2\\", \\"epoch\\": 1}" >> "$results/status.json"; }
say RUNNING working
case $key in
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
ENDED = (State.DONE, State.FAILED, State.CANCELLED)
READY_S = 30.0
END_S = 120.0


@dataclass
class Figures:
    """What a storm came to."""

    kills: int = 0
    during_start: int = 0
    jobs: int = 0
    starts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Storm:
    """One storm over one root."""

    def __init__(self, folder: Path, *, kills: int, seed: int) -> None:
        self.folder = folder
        self.root = Root(folder / "root")
        self.starts_file = folder / "starts"
        self.starts_file.touch()
        self.kills = kills
        self.random = random.Random(seed)
        self.figures = Figures()
        self.model_of: dict[str, str] = {}
        self.stopped: dict[str, set[str]] = {"cancel": set(), "pause": set()}
        """Jobs by what was asked of them, whether the daemon lived to answer or not."""
        self.open: list[str] = []
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.client: Client | None = None
        self.process: asyncio.subprocess.Process | None = None
        self._scenario = Scenario(folder, *(gpu(number) for number in range(4)))
        self._models: dict[str, str] = {}

    async def run(self) -> Figures:
        """Weather it; then look at everything. The daemon is gone afterwards."""
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
            f'runner.order = ["native"]\nrunner.native.path = ["{tools}"]\n'
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
            line = await asyncio.wait_for(self.process.stdout.readline(), READY_S)
            assert line, f"the daemon did not start: {(self.folder / 'errors').read_text()[-2000:]}"
            if self.client is not None:
                await self.client.aclose()
            self.client = Client.of(await asyncio.to_thread(find, self.root.path))

    async def _prepare(self) -> None:
        pictures = self.folder / "pictures"
        for name in ("cat", "dog"):
            (pictures / "images_train" / name).mkdir(parents=True, exist_ok=True)
            (pictures / "images_train" / name / "1.png").write_bytes(PNG)
        (pictures / "classes.txt").write_text("cat\ndog\n")
        assert self.client is not None
        data = await self.client.create_dataset(
            DatasetCreate(type="image_classification", format="classification_pyt", name="pictures")
        )
        await self.client.link_dataset(data.id, str(pictures))
        for kind in KINDS:
            model = await self.client.create_model(
                ModelCreate(
                    network_arch="classification_pyt",
                    name=kind,
                    encryption_key=kind,
                    train_datasets=[data.id],
                    eval_dataset=data.id,
                )
            )
            self._models[kind] = model.id
        await self.client.save_spec("model", self._models["wide"], "train", {"train": {"num_gpus": 2}})

    async def _kill_and_restart(self) -> None:
        while self.figures.kills < self.kills:
            # The instants of the kills, not waits for something.
            await asyncio.sleep(self.random.choice((0.02, 0.1, 0.3, 0.6)) * self.random.uniform(0.3, 1.5))
            self.up.clear()
            await self._kill()
            while self.figures.kills < self.kills and self.random.random() < 0.2:
                await self._serve(wait=False)
                await asyncio.sleep(self.random.uniform(0.0, 1.2))
                self.figures.during_start += 1
                await self._kill()
            await self._serve()
            self.up.set()

    async def _kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self.figures.kills += 1

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[Client | None]:
        """A client of the daemon of now, which may die before it has answered."""
        await self.up.wait()
        with contextlib.suppress(ClientError, NoDaemon, OSError, RuntimeError):
            yield self.client

    async def _post(self) -> None:
        """Keep some jobs waiting all the time, so that every kill has something to hit."""
        names = [(kind, actions) for kind, actions, weight in SHAPES for _ in range(weight)]
        while not self.over.is_set():
            async with self._asking() as client:
                assert client is not None
                counts = await client.job_counts()
                waiting = counts.get(State.QUEUED, 0) + counts.get(State.WAITING, 0)
                for _ in range(6 if waiting < min(12, self.kills // 2) else 0):
                    kind, actions = self.random.choice(names)
                    self.open += await client.run("model", self._models[kind], JobRun(actions=actions))
            await asyncio.sleep(0.02)

    async def _meddle(self) -> None:
        """Cancel some, pause some, resume what is paused."""
        while not self.over.is_set():
            await asyncio.sleep(self.random.uniform(0.02, 0.2))
            async with self._asking() as client:
                assert client is not None
                page = await client.jobs(state=[State.RUNNING, State.QUEUED, State.WAITING, State.PAUSED], size=30)
                if not page.items:
                    continue
                job = self.random.choice(page.items)
                if job.state is State.PAUSED:
                    await client.resume(job.id)
                elif job.state is State.RUNNING and self.random.random() < 0.6:
                    self.stopped["pause"].add(job.id)
                    await client.pause(job.id)
                elif self.random.random() < 0.3:
                    self.stopped["cancel"].add(job.id)
                    await client.cancel(job.id)

    async def _calm(self) -> None:
        """Wait until every job has ended; what is paused is resumed."""
        assert self.client is not None
        async for _ in self._events_with_a_first():
            for job in (await self.client.jobs(state=State.PAUSED)).items:
                await self.client.resume(job.id)
            counts = await self.client.job_counts()
            if not any(count for state, count in counts.items() if state not in ENDED):
                return

    async def _events_with_a_first(self) -> AsyncIterator[tuple[Any, Any]]:
        yield None, None
        assert self.client is not None
        async with contextlib.aclosing(self.client.events()) as events:
            async for event in events:
                yield event

    async def _examine(self) -> None:
        """Everything about every job, whoever posted it."""
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
            page = await self.client.jobs(skip=skip, size=200, sort="date-ascending")
            details += [await self.client.job(job.id) for job in page.items]
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
                fault(f"a run of job {job_id} began, which nobody knows")
        for detail in details:
            self.figures.states[detail.job.state.value] += 1
            self._judge(detail, known, per_job[detail.job.id])

    def _judge(self, detail: JobDetail, known: dict[str, JobDetail], starts: int) -> None:
        job, fault = detail.job, self.figures.faults.append
        kind = job.owner_name
        parent = known.get(job.parent_id or "")
        asked = job.id in self.stopped["cancel"] or job.id in self.stopped["pause"]
        resumes = sum(entry.reason == "Resumed" for entry in detail.history)
        said = f"{job.action} of {kind} {job.id}: {job.state} ({job.reason}) after {starts} starts"
        if parent is not None and parent.job.state is not State.DONE:
            wanted = {parent.job.state, *([State.CANCELLED] if asked else [])}
            if job.state not in wanted or starts:
                fault(f"{said}, its parent is {parent.job.state}")
        elif asked:
            if starts > 1 + resumes:
                fault(f"{said}, {resumes} resumes")
        else:
            end = State.FAILED if kind == "fail" else State.DONE
            if job.state is not end or starts != 1:
                fault(said)
            if end is State.FAILED and job.reason != "boom":
                fault(said)
        if kind == "wide" and job.state is State.DONE and len(set(job.devices)) != 2:
            fault(f"{said} on {job.devices}")
        states = [entry.state for entry in detail.history]
        for before, after in pairwise(states):
            if before is not after and after not in TRANSITIONS[before]:
                fault(f"{said}: {after} after {before}")

    def _look_behind(self) -> None:
        """What is left when the daemon is gone."""
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
        log = self.root.log_file.read_text(errors="replace")
        for line in log.splitlines():
            if " ERROR " in line:
                fault(f"the daemon's log: {line}")
