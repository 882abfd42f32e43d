"""A scheduler over a real store, a real runner and real processes, for the tests; the tools are short shell scripts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from runners import processes
from runners.local import LocalRunner
from runners.protocol import Command, Launch, Runner, RunRequest, Verdict
from runners.registry import RunnerRegistry
from store import Store
from store.records import JobRecord, ModelRecord, NewJob
from taod.clock import SystemClock
from taod.config import DevicesConfig, NotifyConfig, RunnerRule, SchedulerConfig, SupervisionConfig
from taod.errors import BadRequest
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
from taod.types.reason import POSTED, Reason
from taod.types.state import ON_DEVICE, State
from tests.patience import PATIENCE_S

SECRET = "tlt_encode_secret"

# Functions for the tools' scripts: write a line of status.json, wait for a file of the test.
PRELUDE = """
say() { echo "{\\"status\\": \\"$1\\", \\"message\\": \\"$2\\"${3:+, \\"epoch\\": $3, \\"max_epoch\\": 9}}" >>results/status.json; }
wait_for() { while [ ! -e "$1" ]; do sleep 0.01; done; }
echo "run $TAOD_RUN on [$CUDA_VISIBLE_DEVICES]"
"""  # noqa: E501
GOOD = "say STARTED hello; say SUCCESS 'All went well'"
LONG = "say STARTED hello; say RUNNING epoch 3; touch ready; wait_for go; say SUCCESS 'All went well'"
OBEDIENT = "trap 'echo saved; exit 143' TERM; " + LONG


class ScriptRunner(LocalRunner):
    name = "script"
    uses_shell = False

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        return Verdict(action != "confmat", "the script runner has no confmat", "write one")

    def describe(self, request: RunRequest) -> Launch:
        return Launch(request.command.argv, {"CUDA_VISIBLE_DEVICES": ",".join(d.id for d in request.devices)})

    def inherited(self) -> dict[str, str]:
        return dict(os.environ)


class ScriptPlanner:
    """The job's spec is its script."""

    def __init__(self, root: Root, store: Store, runners: RunnerRegistry) -> None:
        self.root = root
        self._store = store
        self._runners = runners
        self.missing: dict[str, Reason] = {}

    def unready(self, job: JobRecord) -> Reason | None:
        return self.missing.get(job.id)

    def _resolved(self, job: JobRecord) -> ResolvedJob:
        choice = self._runners.choose(job.network, job.action, wanted=job.asked_runner, place=job.site)
        found = self._store.jobs.specified(job.id)
        assert found is not None
        return ResolvedJob(job=found, spec=found.spec, choice=choice)

    def secrets(self, job: JobRecord) -> list[str]:
        return [SECRET]

    async def prepare(self, record: JobRecord) -> tuple[Runner, Command]:
        resolved = self._resolved(record)
        runner, job = resolved.runner, resolved.job
        script = (job.spec or {}).get("script")
        if script is None:
            raise BadRequest("its dataset is gone; upload it again")
        if script == "":
            raise RuntimeError("a mistake of taod's")
        self.root.job(job.id).results.mkdir(parents=True, exist_ok=True)
        argv = ["/bin/sh", "-c", PRELUDE + str(script), "tool", "-k", SECRET]
        return runner, Command(job.network, job.action, argv, image="", secrets=[SECRET])


class World:
    """The parts of one daemon over a root."""

    def __init__(
        self,
        folder: Path,
        *,
        slots: int = 1,
        grace_s: float = 15.0,
        in_memory: bool = False,
        runner: ScriptRunner | None = None,
        devices: DevicesConfig | None = None,
        supervision: SupervisionConfig | None = None,
        notify: NotifyConfig | None = None,
    ) -> None:
        self.root = Root(folder)
        self.root.make()
        self.store = Store.open(None if in_memory else self.root.database)
        self.outbox = Outbox(self.store, notify or NotifyConfig(), SystemClock())
        self.bus = EventBus()
        self.telemetry = Telemetry(self.store, Publisher(self.bus))
        chosen = runner or ScriptRunner()
        runners = RunnerRegistry({"script": lambda: chosen}, ["script"], list[RunnerRule]())
        self.planner = ScriptPlanner(self.root, self.store, runners)
        self.pool = DevicePool.detect(devices or DevicesConfig(gpus=False, cpu_slots=slots, telemetry_s=0.01))
        self.scheduler = Scheduler(
            store=self.store,
            root=self.root,
            runners=runners,
            devices=self.pool,
            telemetry=self.telemetry,
            bus=self.bus,
            publisher=Publisher(self.bus),
            planner=self.planner,
            config=SchedulerConfig(grace_s=grace_s),
            supervision=supervision,
            outbox=self.outbox,
        )

    async def close(self) -> None:
        await self.scheduler.stop()
        await self.telemetry.close()
        self.store.close()

    def owner(self) -> tuple[str, str]:
        """A user with a model: (user id, model id)."""
        user = self.store.users.add(f"user-{new_id()}")
        model = ModelRecord(
            new_id(), user.id, "dino", "My Model", "", "", "1", "2024", "2024", dataset_type="object_detection"
        )
        self.store.models.add(model)
        return user.id, model.id

    def post(
        self, script: str | None, *, action: str = "train", parent: str | None = None, owner: Any = None, **more: Any
    ) -> str:
        """Put a job into the store as the service does; returns its id."""
        user_id, model_id = owner or self.owner()
        job = NewJob(
            id=new_id(),
            user_id=user_id,
            owner_kind="model",
            owner_id=model_id,
            network="dino",
            action=action,
            parent_id=parent,
            state=more.pop("state", State.WAITING if parent else State.QUEUED),
            reason=POSTED,
            spec=None if script is None else {"script": script},
            **more,
        )
        self.store.jobs.add([job])
        self.scheduler.wake()
        return job.id

    def job(self, job_id: str) -> JobRecord:
        job = self.store.jobs.get(job_id)
        assert job is not None
        return job

    def log(self, job_id: str) -> str:
        return self.root.job(job_id).log.read_text()

    def file(self, job_id: str, name: str) -> Path:
        return self.root.job(job_id).path / name

    def states(self, job_id: str) -> list[State]:
        """The states of the job in order, without notes and changes of reason."""
        states: list[State] = []
        for entry in self.store.jobs.history(job_id):
            if not states or states[-1] is not entry.state:
                states.append(entry.state)
        return states

    def said(self, job_id: str) -> str:
        """The message that the job's result shows."""
        status = self.store.jobs.result(job_id).detailed_status
        return status.message if status else ""

    async def until(self, job_id: str, *states: State) -> JobRecord:
        """Wait, by the event stream, until the job is in one of `states`."""

        async def listen() -> JobRecord:
            async with self.bus.subscribe(None) as stream:
                while (job := self.job(job_id)).state not in states:
                    async for event in stream:
                        if event.type is EventType.JOB and msgspec.json.decode(event.data)["id"] == job_id:
                            break
                return job

        try:
            return await asyncio.wait_for(listen(), PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"{states} not reached: {self.store.jobs.history(job_id)}") from None

    async def until_epoch(self, job_id: str, epoch: int = 3) -> JobRecord:
        """Wait until the job is recorded as running and its tool has reported an epoch."""

        async def listen() -> JobRecord:
            async with self.bus.subscribe(None) as stream:
                while (job := self.job(job_id)).state is not State.RUNNING or job.progress.epoch != epoch:
                    await anext(stream)
                return job

        return await asyncio.wait_for(listen(), PATIENCE_S)

    async def settled(self, job_ids: Iterable[str]) -> list[JobRecord]:
        return [await self.until(job_id, State.DONE, State.FAILED, State.CANCELLED) for job_id in job_ids]


async def end_all(world: World) -> None:
    """Stop watching, then kill what a test left running, and close."""
    await world.scheduler.stop()
    for job in world.store.jobs.in_states(ON_DEVICE):
        processes.kill_all(f"TAOD_RUN={job.id}/{job.attempt}", None)
    await world.close()
