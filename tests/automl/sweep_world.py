"""A scheduler with sweeps over a real store and real processes, for the tests; the tool is a short program.

The tool trains nothing: from its spec it reads how many epochs are wanted and what a trial is worth, continues from the
checkpoint that it finds, and reports every epoch that it trains.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from runners.local import LocalRunner
from runners.protocol import Command, Launch, Runner, RunRequest, Verdict
from runners.registry import RunnerRegistry
from store import Store
from store.records import JobRecord, ModelRecord, NewJob, SweepRecord, TrialRecord
from taod.automl import fidelity
from taod.automl.builder import build_sweep
from taod.automl.controller import sweep_supervisors
from taod.automl.proposer import Proposer
from taod.catalogue.schema.merge import default, merge
from taod.clock import SystemClock
from taod.config import AutomlConfig, DevicesConfig, NotifyConfig, NotifyTargetConfig, RunnerRule, SchedulerConfig
from taod.ids import new_id
from taod.notify.outbox import Outbox
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.resolved_job import ResolvedJob
from taod.scheduler.scheduler import Scheduler
from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.telemetry.telemetry import Telemetry
from taod.types.event import EventType
from taod.types.job import JobKind
from taod.types.reason import POSTED, Reason
from taod.types.state import State
from tests.patience import PATIENCE_S

NETWORK = "classification_pyt"
PARAMETER = "train.train_config.optimizer.weight_decay"
LR = "train.train_config.optimizer.lr"

TOOL = """
import json, os, signal, sys, time
from pathlib import Path
spec = json.loads(sys.argv[1])
results = Path("results"); results.mkdir(exist_ok=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
def say(**fields):
    with open(results / "status.json", "a") as handle:
        handle.write(json.dumps(fields) + "\\n")
say(status="STARTED", message="hello")
print("tool runs", flush=True)
if spec["fail"]:
    say(status="FAILURE", message=spec["fail"])
    sys.exit(1)
last = max([int(p.stem.split("_")[1]) for p in results.glob("epoch_*.pth")], default=0)
for epoch in range(last + 1, spec["epochs"] + 1):
    gate = Path(spec["gate"])
    while spec["gate"] and gate.exists():
        time.sleep(0.005)
    value = spec["value"] + 1.0 / epoch
    kpi = {spec["metric"]: "nan" if spec["nan"] else value} if spec["metric"] else {}
    say(status="RUNNING", epoch=epoch, max_epoch=spec["epochs"], kpi=kpi)
    (results / f"epoch_{epoch}.pth").write_text(f"weights of {spec['value']} at {epoch}")
say(status="SUCCESS", message="All went well")
"""


class ToolRunner(LocalRunner):
    name = "script"
    uses_shell = False

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        return Verdict(True)

    def describe(self, request: RunRequest) -> Launch:
        return Launch(request.command.argv, {})

    def inherited(self) -> dict[str, str]:
        return dict(os.environ)


class ToolPlanner:
    """Passes the test's orders to the tool; the product decides how long it trains."""

    def __init__(self, root: Root, store: Store, runners: RunnerRegistry, orders: dict[str, Any]) -> None:
        self._root, self._store, self._runners, self.orders = root, store, runners, orders

    def unready(self, job: JobRecord) -> Reason | None:
        return None

    def _resolved(self, job: JobRecord) -> ResolvedJob:
        choice = self._runners.choose(job.network, job.action, wanted=job.asked_runner, place=job.site)
        found = self._store.jobs.specified(job.id)
        assert found is not None
        return ResolvedJob(job=found, spec=found.spec, choice=choice)

    def secrets(self, job: JobRecord) -> list[str]:
        return []

    async def prepare(self, record: JobRecord) -> tuple[Runner, Command]:
        resolved = self._resolved(record)
        runner, job = resolved.runner, resolved.job
        trial = self._store.sweeps.trial_of(job.id)
        assert trial is not None and job.spec is not None
        spec = fidelity.for_rung(NETWORK, job.spec, epochs=trial.epochs, done_epochs=trial.trained)
        group = spec["train"]["train_config"]
        order = {"fail": "", "nan": False, "metric": "loss", "gate": "", **self.orders}
        order["value"] = abs(float(group["optimizer"]["weight_decay"]) - 0.02)
        order["epochs"] = int(group["runner"]["max_epochs"])
        for name in ("fail", "nan"):
            if callable(order[name]):
                order[name] = order[name](trial.number)
        self._root.job(job.id).results.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-IS", "-c", TOOL, msgspec.json.encode(order).decode()]
        return runner, Command(job.network, job.action, argv, image="")


class World:
    """The parts of one daemon over a root."""

    def __init__(self, folder: Path, *, slots: int = 2, **orders: Any) -> None:
        self.root = Root(folder)
        self.root.make()
        self.store = Store.open(self.root.database)
        targets = [NotifyTargetConfig("all", command=["true"])]
        self.bus = EventBus()
        self.telemetry = Telemetry(self.store, Publisher(self.bus))
        self.proposer = Proposer()
        runner = ToolRunner()
        runners = RunnerRegistry({"script": lambda: runner}, ["script"], list[RunnerRule]())
        self.planner = ToolPlanner(self.root, self.store, runners, orders)
        self.scheduler = Scheduler(
            store=self.store,
            root=self.root,
            runners=runners,
            devices=DevicePool.detect(DevicesConfig(gpus=False, cpu_slots=slots, telemetry_s=5.0)),
            telemetry=self.telemetry,
            bus=self.bus,
            publisher=Publisher(self.bus),
            planner=self.planner,
            config=SchedulerConfig(grace_s=5.0),
            outbox=Outbox(self.store, NotifyConfig(target=targets), SystemClock()),
            supervisor_factory=sweep_supervisors(self.store, self.proposer),
        )

    async def close(self) -> None:
        await self.scheduler.stop()
        await self.proposer.close()
        await self.telemetry.close()
        self.store.close()

    def post(self, *, epochs: int = 2, config: AutomlConfig | None = None, **fields: Any) -> str:
        """Post a sweep as the service does; returns its job's id."""
        user = self.store.users.add(f"user-{new_id()}")
        model = ModelRecord(
            new_id(), user.id, NETWORK, "My Model", "", "", "1", "2024", "2024", dataset_type="image_classification",
            automl_enabled=True, **fields,
        )  # fmt: skip
        self.store.models.add(model)
        whole = default(NETWORK, "train")
        document = merge(whole, {"train": {"train_config": {"runner": {"max_epochs": epochs}}}})
        job_id = new_id()
        sweep = build_sweep(job_id, model, document, saved=True, devices=1, config=config or AutomlConfig())
        job = NewJob(
            id=job_id, user_id=user.id, owner_kind="model", owner_id=model.id, network=NETWORK, action="train",
            parent_id=None, state=State.QUEUED, reason=POSTED, kind=JobKind.SWEEP,
            devices_wanted=0, metric=sweep.settings.metric,
            spec=document,
        )  # fmt: skip
        with self.store.transaction():
            self.store.jobs.add([job])
            self.store.sweeps.add(sweep)
        self.scheduler.wake()
        return job_id

    def job(self, job_id: str) -> JobRecord:
        job = self.store.jobs.get(job_id)
        assert job is not None
        return job

    def sweep(self, job_id: str) -> SweepRecord:
        sweep = self.store.sweeps.get(job_id)
        assert sweep is not None
        return sweep

    def trials(self, job_id: str) -> list[TrialRecord]:
        return self.store.sweeps.trials(job_id)

    def reported_epochs(self, job_id: str) -> list[int]:
        """The epochs that the tool of this job reported, in order."""
        text = (self.root.job(job_id).results / "status.json").read_text()
        return [line["epoch"] for line in map(msgspec.json.decode, text.splitlines()) if "epoch" in line]

    async def when(self, holds: Any) -> None:
        """Wait, by the event stream, until something holds."""

        async def listen() -> None:
            async with self.bus.subscribe(None) as stream:
                while not holds():
                    async for event in stream:
                        if event.type is EventType.JOB:
                            break

        await asyncio.wait_for(listen(), PATIENCE_S)

    async def until(self, job_id: str, *states: State) -> JobRecord:
        """Wait until the job is in one of `states`."""
        try:
            await self.when(lambda: self.job(job_id).state in states)
        except TimeoutError:
            raise AssertionError(f"{states} not reached: {self.store.jobs.history(job_id)}") from None
        return self.job(job_id)

    async def over(self, job_id: str) -> JobRecord:
        return await self.until(job_id, State.DONE, State.FAILED, State.CANCELLED)
