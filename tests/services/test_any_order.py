"""Invariants hold for any order of requests: a state machine over the services, with real runs."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from runners import processes
from store.records import JobFilter, JobRecord
from taod.config import Config
from taod.errors import BadRequest, Conflict, NotFound
from taod.scheduler.job_commands import RESUMED
from taod.services.composition import open_services
from taod.types.common import JobSort
from taod.types.dataset import DatasetCreate, DatasetLink, DatasetPatch
from taod.types.job import JobPatch, JobRun
from taod.types.model import ModelCreate, ModelPatch
from taod.types.queue import QueuePatch
from taod.types.state import ON_DEVICE, TRANSITIONS, ImpossibleTransition, State
from tests.api.conftest import PNG
from tests.patience import PATIENCE_S

EXAMPLES = int(os.environ.get("TAOD_ORDERS", "16"))
STEPS = 30
SLOTS = 2
ACTIONS = [["train"], ["train", "evaluate"], ["evaluate"], ["train", "evaluate", "export", "inference"], ["export"]]
REJECTIONS = (BadRequest, NotFound, Conflict, ImpossibleTransition)
"""Errors with which a service may reject a request; any other one is a fault."""
PASSING = frozenset({State.LEASED, State.STARTING, State.STOPPING})
ARCH = "classification_pyt"

TOOL = """#!/bin/sh
# Replaces a TAO tool: reports its start, waits for a word at its gate, writes weights, reports its end.
for argument; do case $argument in --results_dir=*) results=${argument#--results_dir=} ;; esac; done
results=${results%/}
trap 'exit 143' TERM
mkdir -p "$results/train"
[ -p "$results/gate" ] || mkfifo "$results/gate"
echo '{"status": "STARTED", "message": "Starting"}' >> "$results/status.json"
read -r word < "$results/gate"
[ "$word" = fail ] && exit 1
printf weights > "$results/train/epoch_1.pth"
printf graph > "$results/model.onnx"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""

which = st.integers(0, 20)
"""Selects one of the existing items; a rule without items does nothing. Preconditions cannot be used, because items
depend on real processes and hypothesis needs equal choices to have equal results."""


async def done(work: Awaitable[None]) -> bool:
    """True after a request that returns nothing; `ask` returns None where it is rejected."""
    await work
    return True


class AnyOrder(RuleBasedStateMachine):
    """One user of one daemon; the event loop runs only during requests."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="taod-orders-"))
        self.loop = asyncio.new_event_loop()
        self.config = _configure(self.folder)
        self.models: list[str] = []
        self.datasets: list[str] = []
        self.gone: set[str] = set()
        self.do(self.open())
        self.data = self.services.datasets.create(self.user_id, DatasetCreate("image_classification", ARCH)).id
        self.do(self.services.datasets.link(self.user_id, self.data, DatasetLink(str(_images(self.folder)))))
        self.make_a_model()
        self.post(0, ["train", "evaluate"], None)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE_S))

    async def open(self) -> None:
        self.services = open_services(self.config)
        self.user_id = self.services.users.ensure_first()[0].id
        await self.services.start()

    async def close(self) -> None:
        await self.services.stop()
        self.services.store.close()

    def jobs(self, *states: State) -> list[JobRecord]:
        wanted = JobFilter(states=frozenset(states) if states else None)
        return self.services.store.jobs.list(wanted, JobSort.DATE_ASCENDING)[0]

    def ask(self, call: Callable[[], Any]) -> Any:
        """Call the service and let its consequences start; None if it rejects the request."""

        async def asked() -> Any:
            try:
                answer = call()
                answer = await answer if isinstance(answer, Awaitable) else answer
            except REJECTIONS:
                answer = None
            for _ in range(3):
                await asyncio.sleep(0)
            return answer

        return self.do(asked())

    def of_job(self, pick: int, call: Callable[[JobRecord], Any]) -> None:
        self.of_some(self.jobs(), pick, call)

    def of_some(self, jobs: list[JobRecord], pick: int, call: Callable[[JobRecord], Any]) -> None:
        if jobs:
            self.ask(lambda: call(jobs[pick % len(jobs)]))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait by the event stream."""
        async with self.services.bus.subscribe(None) as stream:
            while not holds():
                await anext(stream)

    @rule()
    def make_a_model(self) -> None:
        body = ModelCreate(
            network_arch=ARCH, train_datasets=[self.data], eval_dataset=self.data, inference_dataset=self.data
        )
        self.models.append(self.ask(lambda: self.services.models.create(self.user_id, body)).id)

    @rule(pick=which, name=st.sampled_from(["a", "b"]), public=st.booleans(), data=st.booleans())
    def patch_a_model(self, pick: int, name: str, public: bool, data: bool) -> None:
        if not self.models:
            return
        body = ModelPatch(name=name, public=public, train_datasets=[self.data] if data else [])
        self.ask(lambda: self.services.models.update(self.user_id, self.models[pick % len(self.models)], body))

    @rule(pick=which, actions=st.sampled_from(ACTIONS), parent=st.none() | which)
    def run(self, pick: int, actions: list[str], parent: int | None) -> None:
        self.post(pick, actions, parent)

    @rule(pick=which)
    def train(self, pick: int) -> None:
        self.post(pick, ["train"], None)

    def post(self, pick: int, actions: list[str], parent: int | None) -> None:
        if not self.models:
            self.make_a_model()
        jobs = self.jobs()
        job = jobs[parent % len(jobs)].id if jobs and parent is not None else None
        model = self.models[pick % len(self.models)]
        self.ask(lambda: self.services.submission.post(self.user_id, "model", model, [JobRun(actions, job)]))

    @rule(pick=which)
    def cancel(self, pick: int) -> None:
        self.of_job(pick, self.services.jobs.cancel)

    @rule(pick=which)
    def pause(self, pick: int) -> None:
        self.of_job(pick, self.services.jobs.cancel_or_pause)

    @rule(pick=which)
    def pause_a_run(self, pick: int) -> None:
        self.of_some(self.jobs(State.RUNNING), pick, self.services.jobs.pause)

    @rule(pick=which)
    def resume(self, pick: int) -> None:
        self.of_some(
            self.jobs(State.PAUSED, State.CANCELLED, State.FAILED, State.DONE), pick, self.services.jobs.resume
        )

    @rule(pick=which, held=st.booleans(), priority=st.integers(-2, 2))
    def patch_a_job(self, pick: int, held: bool, priority: int) -> None:
        self.of_job(pick, lambda job: self.services.jobs.patch(job, JobPatch(priority=priority, held=held)))

    @rule(pick=which, position=st.sampled_from(["front", "back"]))
    def move_a_job(self, pick: int, position: Any) -> None:
        self.of_some(
            self.jobs(State.QUEUED), pick, lambda job: self.services.jobs.patch(job, JobPatch(position=position))
        )

    @rule(paused=st.booleans())
    def pause_the_queue(self, paused: bool) -> None:
        user = self.services.users.ensure_first()[0]
        self.ask(lambda: self.services.queue.change(user, QueuePatch(paused)))
        leased = {job.id for job in self.jobs(*ON_DEVICE)}
        self.ask(lambda: self.services.scheduler.wake())
        assert not paused or {job.id for job in self.jobs(*ON_DEVICE)} <= leased

    @rule(pick=which)
    def delete_a_job(self, pick: int) -> None:
        before = {job.id for job in self.jobs()}
        self.of_job(pick, self.services.jobs.delete)
        self.gone |= before - {job.id for job in self.jobs()}

    @rule(pick=which)
    def delete_a_model(self, pick: int) -> None:
        if not self.models:
            return
        model = self.models[pick % len(self.models)]
        its = {job.id for job in self.jobs() if job.owner_id == model}
        if self.ask(lambda: done(self.services.models.delete(self.user_id, model))):
            self.models.remove(model)
            self.gone |= its
        else:
            assert self.services.store.models.get(self.user_id, model) is not None

    @rule()
    def delete_the_data_in_use(self) -> None:
        used = bool(self.services.store.datasets.users_of(self.data))
        if used:
            assert not self.ask(lambda: done(self.services.datasets.delete(self.user_id, self.data)))

    @rule(whole=st.booleans())
    def upload(self, whole: bool) -> None:
        body = DatasetCreate("image_classification", ARCH)
        made = self.ask(lambda: self.services.datasets.create(self.user_id, body)).id
        self.datasets.append(made)
        content = _archive() if whole else _archive()[:700]
        self.ask(lambda: self.services.datasets.upload(self.user_id, made, _sent(content)))
        state = self.services.datasets.summary(self.user_id, made).state
        assert state == ("ready" if whole else "empty")

    @rule(pick=which, delete=st.booleans())
    def change_a_dataset(self, pick: int, delete: bool) -> None:
        if self.datasets:
            chosen = self.datasets[pick % len(self.datasets)]
            if delete:
                assert self.ask(lambda: done(self.services.datasets.delete(self.user_id, chosen)))
                self.datasets.remove(chosen)
                assert not (self.folder / "root" / "datasets" / chosen).exists()
            else:
                self.ask(lambda: self.services.datasets.update(self.user_id, chosen, DatasetPatch(name="new")))

    @rule(pick=which, word=st.sampled_from(["go", "go", "fail"]))
    def let_a_run_end(self, pick: int, word: str) -> None:
        self.wait()
        running = self.jobs(State.RUNNING)
        if running:
            self.do(self._word(running[pick % len(running)], word))

    @rule()
    def wait(self) -> None:
        """Wait until no job is in a transient state."""
        self.do(self.until(lambda: not self.jobs(*PASSING)))

    @rule()
    def restart(self) -> None:
        """The daemon ends and another one takes over the root; runs continue."""

        async def again() -> None:
            await self.close()
            await self.open()

        self.do(again())

    async def _word(self, job: JobRecord, word: str) -> None:
        gate = self.services.root.job(job.id).results / "gate"
        await self.until(lambda: gate.exists() or self._state(job) is not State.RUNNING)
        if not gate.exists():
            return
        end = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
        try:
            os.write(end, word.encode() + b"\n")
            await self.until(lambda: self._state(job) is not State.RUNNING)
        finally:
            os.close(end)
        assert self._state(job) is (State.DONE if word == "go" else State.FAILED)

    def _state(self, job: JobRecord) -> State:
        now = self.services.store.jobs.get(job.id)
        assert now is not None
        return now.state

    @invariant()
    def every_lease_is_held_by_a_job_on_its_device(self) -> None:
        leases = self.services.store.leases.all()
        assert len(leases) <= SLOTS
        assert len({(lease.device_id, lease.slot) for lease in leases}) == len(leases)
        holders = sorted(lease.job_id for lease in leases)
        assert holders == sorted(job.id for job in self.jobs(*ON_DEVICE) for _ in range(job.devices_wanted))

    @invariant()
    def every_job_has_its_owner_and_no_deleted_one_comes_back(self) -> None:
        jobs = self.jobs()
        assert {job.owner_id for job in jobs} <= set(self.models)
        assert not {job.id for job in jobs} & self.gone
        kept = {path.name for path in (self.folder / "root" / "jobs").iterdir()}
        assert not kept & self.gone

    @invariant()
    def every_life_follows_the_table_and_an_end_is_left_by_a_resume_alone(self) -> None:
        for job in self.jobs():
            history = self.services.store.jobs.history(job.id)
            assert history[-1].state is job.state
            for before, after in itertools.pairwise(history):
                if before.state is not after.state:
                    assert after.state in TRANSITIONS[before.state], (job.id, history)
                    if before.state.ended:
                        assert after.reason == RESUMED, (job.id, history)

    @invariant()
    def no_child_starts_before_its_parent_is_done(self) -> None:
        jobs = {job.id: job for job in self.jobs()}
        for job in jobs.values():
            if job.parent_id is None or job.started_at is None:
                continue
            parent = jobs.get(job.parent_id)
            if parent is None:
                assert job.parent_id in self.gone
            else:
                assert parent.state is State.DONE
                assert parent.ended_at is not None
                assert parent.ended_at <= job.started_at

    @invariant()
    def no_process_runs_without_a_job_on_a_device(self) -> None:
        allowed = {f"{job.id}/{job.attempt}" for job in self.jobs(*ON_DEVICE)}
        assert _runs_below(self.folder) <= allowed

    def teardown(self) -> None:
        async def end() -> None:
            for job in self.jobs():
                if not job.state.ended:
                    try:
                        await self.services.jobs.cancel(job)
                    except NotFound:
                        pass  # it was cancelled with its parent, or has just ended
            await self.until(lambda: all(job.state.ended for job in self.jobs()))

        try:
            self.do(end())
            assert _runs_below(self.folder) == set()
            assert self.services.store.leases.all() == []
        finally:
            for run in _runs_below(self.folder):
                processes.kill_all(f"TAOD_RUN={run}", None)
            self.do(self.close())
            self.loop.close()
            shutil.rmtree(self.folder)


def _configure(folder: Path) -> Config:
    (folder / "bin").mkdir()
    (folder / "bin" / ARCH).write_text(TOOL)
    (folder / "bin" / ARCH).chmod(0o755)
    config = Config()
    config.storage.root = str(folder / "root")
    config.storage.link_roots = [str(folder)]
    config.devices.gpus = False
    config.devices.cpu_slots = SLOTS
    config.runner.order = ["native"]
    config.runner.native.path = [str(folder / "bin")]
    return config


def _images(folder: Path) -> Path:
    images = folder / "images"
    for name in ("cat", "dog"):
        (images / "images_train" / name).mkdir(parents=True)
        (images / "images_train" / name / "1.png").write_bytes(PNG)
    (images / "classes.txt").write_text("cat\ndog\n")
    return images


def _archive() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in (("images_train/cat/1.png", PNG), ("classes.txt", b"cat\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


async def _sent(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _runs_below(folder: Path) -> set[str]:
    """The `job/attempt` of every living process whose command or environment names the folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or processes.start_ticks(int(entry.name)) is None:
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() not in environ + processes.command_line(int(entry.name)):
            continue
        found |= {each[9:].decode() for each in environ.split(b"\0") if each.startswith(b"TAOD_RUN=")}
    return found


@pytest.mark.slow
def test_invariants_hold_in_any_order_of_requests() -> None:
    run_state_machine_as_test(
        AnyOrder, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, database=None)
    )
