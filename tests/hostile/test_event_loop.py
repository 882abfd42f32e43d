"""No request computes on the event loop: whatever may take long runs in a thread, on a snapshot of the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taod.api.routes import files
from taod.datasets.validation import samples
from taod.scheduler import scheduler
from taod.services import snapshots
from taod.services.jobs import command_builder, preflight_facts, resolution, spec_service
from taod.services.jobs.submission import MOST_JOBS
from taod.services.models import model_release
from taod.telemetry import follow
from taod.telemetry.metric_series import MOST_METRICS
from taod.telemetry.status import StatusReader
from taod.types.dataset import UploadAnswer
from taod.types.state import State
from tests.api.conftest import Server
from tests.api.conftest import config as config
from tests.api.conftest import gate as gate
from tests.api.conftest import images as images
from tests.api.conftest import server as server
from tests.api.conftest import tool_path as tool_path
from tests.patience import PATIENCE_S

LONG = {f"f{number}": 1 for number in range(2000)}
Watch = Callable[[Any, str], None]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Makes a function fail in the thread of the event loop, unless all that it may do there is to find out that its
    answer is long; the test fails unless all that it names were called."""
    monkeypatch.setattr(snapshots, "SHORT_BYTES", 0)
    names: list[str] = []
    called: set[str] = set()

    def watch(holder: Any, name: str) -> None:
        original = getattr(holder, name)
        names.append(name)

        def watched(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                original(*arguments, **named)  # raises LongRead where nothing may be read here
                raise AssertionError(f"{name} runs on the event loop")
            called.add(name)
            return original(*arguments, **named)

        monkeypatch.setattr(holder, name, watched)

    watch.missing = lambda: [name for name in names if name not in called]  # type: ignore[attr-defined]
    return watch


def all_called(beside: Any) -> None:
    assert beside.missing() == []


async def trainable(server: Server, images: Callable[[str], Path], **fields: Any) -> str:
    data = await server.ready_dataset(images("train"))
    return await server.model(train_datasets=[data], eval_dataset=data, **fields)


async def held(server: Server, model: str) -> str:
    await server.client.request("PATCH", "/api/v1/queue", json={"paused": True})
    (job,) = await server.call("POST", f"/model/{model}/job", 201, json={"job": None, "actions": ["train"]})
    return str(job)


@pytest.mark.parametrize("verb", ["POST", "PUT"])
async def test_a_long_specification_is_checked(server: Server, beside: Any, verb: str) -> None:
    path = f"/model/{await server.model()}/specs/train"
    await server.call("POST", path, 201, json={})
    beside(spec_service, "check")
    await server.call(verb, path, 201 if verb == "POST" else 200, json=LONG)
    all_called(beside)


@pytest.mark.parametrize("sweep", [False, True], ids=["training", "sweep"])
async def test_a_job_is_resolved(server: Server, beside: Any, images: Any, sweep: bool) -> None:
    model = await trainable(server, images, automl_enabled=sweep)
    for module, name in [
        (spec_service, "check"), (resolution, "over_default"), (preflight_facts, "complete"),
        (command_builder.CommandBuilder, "job_facts"),
    ]:  # fmt: skip
        beside(module, name)
    await server.call("POST", f"/model/{model}/specs/train", 201, json=LONG)
    await held(server, model)
    all_called(beside)


async def test_a_plan_is_made(server: Server, beside: Any, images: Any) -> None:
    model = await trainable(server, images)
    await server.call("POST", f"/model/{model}/specs/train", 201, json=LONG)
    for module, name in [(spec_service, "check"), (resolution, "over_default"), (command_builder, "assemble")]:
        beside(module, name)
    body = {"job": None, "actions": ["train"]}
    (planned,) = await server.call("POST", f"/model/{model}/job?dry_run=true", 200, json=body)
    assert "f1999: 1" in planned["spec_text"]
    all_called(beside)


@pytest.mark.parametrize("change", [{"spec": LONG}, {"devices_wanted": 1}], ids=["spec", "devices"])
async def test_a_change_of_a_job_is_checked(server: Server, beside: Any, images: Any, change: dict[str, Any]) -> None:
    job = await held(server, await trainable(server, images))
    beside(resolution, "over_default")
    if "spec" in change:
        beside(spec_service, "check")
    await server.call("PATCH", f"/job/{job}", 200, json=change)
    found = server.services.store.jobs.specified(job)
    assert found is not None and found.spec is not None and ("f1999" in found.spec) == ("spec" in change)
    all_called(beside)


async def test_a_start_is_prepared(server: Server, beside: Any, images: Any) -> None:
    model = await trainable(server, images)
    await server.call("POST", f"/model/{model}/specs/train", 201, json=LONG)
    beside(command_builder, "assemble")
    (job,) = await server.call("POST", f"/model/{model}/job", 201, json={"job": None, "actions": ["train"]})
    server.word("go")
    record = server.services.jobs.record(server.user.id, job)
    async with server.services.jobs.ending(record) as ended:
        await ended.wait()
    now = server.services.store.jobs.get(job)
    assert now is not None and now.state is State.DONE, now.reason_text if now else ""
    all_called(beside)


@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_a_move_to_another_release_is_converted(server: Server, beside: Any, verb: str) -> None:
    model = await server.model()
    await server.call("POST", f"/model/{model}/specs/train", 201, json=LONG)
    beside(model_release, "convert")
    body = {"json": {"release": "7.3"}} if verb == "POST" else {}
    await server.call(verb, f"/model/{model}/release?to=7.3", 200, **body)
    all_called(beside)


READS = {
    "jobs": ("jobs", "page", "/job"),
    "jobs of a model": ("jobs", "of_owner", "/model/{model}/job"),
    "a job": ("jobs", "detail", "/job/{job}"),
    "the queue": ("queue", "in_order", "/queue"),
    "models": ("models", "page", "/model"),
    "a model": ("models", "get", "/model/{model}"),
    "datasets": ("datasets", "page", "/dataset"),
    "a dataset": ("datasets", "get", "/dataset/{data}"),
    "a summary": ("datasets", "summary", "/dataset/{data}/summary"),
    "a report": ("checks", "report", "/dataset/{data}/report"),
    "a specification": ("specs", "get", "/model/{model}/specs/train"),
    "a schema": ("specs", "schema", "/model/{model}/specs/train/schema"),
    "networks": ("networks", "all", "/../../networks"),
    "a network": ("networks", "get", "/../../networks/dino"),
    "parameters": ("networks", "parameters", "/../../networks/dino/parameters"),
    "a sweep": ("sweeps", "_view", "/model/{model}/job/{job}/sweep"),
    "trials": ("sweeps", "_table", "/model/{model}/job/{job}/sweep.csv"),
}


@pytest.mark.parametrize("name", READS)
async def test_what_may_be_long_is_read(server: Server, beside: Any, images: Any, name: str) -> None:
    service, method, path = READS[name]
    model = await trainable(server, images, automl_enabled=service == "sweeps")
    await server.call("POST", f"/model/{model}/specs/train", 201, json=LONG)
    job = await held(server, model)
    (data,) = server.services.models.record(server.user.id, model).train_datasets
    beside(getattr(server.services, service), method)
    path = path.format(model=model, job=job, data=data)
    whole = path.replace("/../..", "/api/v1") if path.startswith("/../..") else server.base + path
    answer = await server.client.get(whole)
    assert answer.status_code == 200, answer.text
    all_called(beside)


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["model", "dataset"])
async def test_the_answer_to_a_change_is_read(server: Server, beside: Any, kind: str, verb: str) -> None:
    made = await (server.model() if kind == "model" else server.dataset())
    beside(getattr(server.services, f"{kind}s"), "get")
    fields = {"network_arch": "classification_pyt"} if kind == "model" else {}
    body = {} if verb == "DELETE" else {"json": {"name": "new"} | (fields if verb == "PUT" else {})}
    await server.call(verb, f"/{kind}/{made}", 200, **body)
    all_called(beside)


async def test_the_files_of_a_dataset_and_a_job_are_read(server: Server, beside: Any, images: Any) -> None:
    data = await server.ready_dataset(images("train"))
    job = await held(server, await server.model(train_datasets=[data], eval_dataset=data))
    beside(samples, "choose")
    beside(samples, "thumbnail")
    beside(files, "list_artifacts")
    await server.call("GET", f"/dataset/{data}/samples", 200)
    assert (await server.client.get(f"{server.base}/dataset/{data}/samples/0")).status_code == 200
    await server.call("GET", f"/job/{job}/files", 200)
    all_called(beside)


async def test_a_request_creates_a_bounded_number_of_jobs(server: Server, images: Any) -> None:
    model = await trainable(server, images)
    await server.client.request("PATCH", "/api/v1/queue", json={"paused": True})
    chains = [{"job": None, "actions": ["train"] * 50}] * 2
    assert len(await server.call("POST", f"/model/{model}/job", 201, json=chains)) == MOST_JOBS
    described = await server.rejected("POST", f"/model/{model}/job", json=[*chains, *chains[:1]])
    assert "150 in one request" in described
    described = await server.rejected("POST", f"/model/{model}/job?dry_run=true", json=[*chains, *chains[:1]])
    assert "150 in one request" in described


async def test_the_specifications_of_one_request_have_a_bounded_length(server: Server, images: Any) -> None:
    model = await trainable(server, images)
    long = {f"f{number}": "x" * 100 for number in range(10_000)}
    await server.call("POST", f"/model/{model}/specs/train", 201, json=long)
    body = {"job": None, "actions": ["train"] * 5}
    assert "send several" in await server.rejected("POST", f"/model/{model}/job", json=body)
    assert server.services.store.jobs.list()[1] == 0


async def test_a_plan_has_a_bounded_length(server: Server, images: Any) -> None:
    model = await trainable(server, images)
    long = {f"f{number}": "x" * 100 for number in range(10_000)}
    await server.call("POST", f"/model/{model}/specs/train", 201, json=long)
    body = {"job": None, "actions": ["train"] * 30}
    assert "plan fewer" in await server.rejected("POST", f"/model/{model}/job?dry_run=true", json=body)


async def test_a_model_that_is_deleted_meanwhile_gets_no_job(
    server: Server, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await trainable(server, images)
    run = server.services.snapshots.run

    async def slow(*arguments: Any, **named: Any) -> Any:
        found = await run(*arguments, **named)
        if server.services.store.models.get(server.user.id, model):
            await server.services.models.delete(server.user.id, model)
        return found

    body = {"job": None, "actions": ["train"]}
    monkeypatch.setattr(server.services.snapshots, "run", slow)
    await server.call("POST", f"/model/{model}/job", 404, json=body)
    assert server.services.store.jobs.list()[1] == 0


async def test_a_parent_that_is_cancelled_meanwhile_is_not_followed(
    server: Server, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await trainable(server, images)
    first = await held(server, model)
    run, calls = server.services.snapshots.run, []

    async def slow(*arguments: Any, **named: Any) -> Any:
        found = await run(*arguments, **named)
        calls.append(found)
        if len(calls) == 1:
            await server.services.jobs.cancel(server.services.jobs.record(server.user.id, first))
        return found

    monkeypatch.setattr(server.services.snapshots, "run", slow)
    body = {"job": first, "actions": ["evaluate"]}
    assert "cannot be the parent" in await server.rejected("POST", f"/model/{model}/job", json=body)


async def test_a_job_that_changes_meanwhile_is_checked_again(
    server: Server, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await held(server, await trainable(server, images))
    run, calls = server.services.snapshots.run, []

    async def slow(*arguments: Any, **named: Any) -> Any:
        found = await run(*arguments, **named)
        calls.append(found)
        if len(calls) == 1:
            server.services.store.jobs.update(job, priority=7)
        return found

    monkeypatch.setattr(server.services.snapshots, "run", slow)
    changed = await server.call("PATCH", f"/job/{job}", 200, json={"spec": {"train": {}}})
    assert (changed["priority"], len(calls)) == (7, 2)


async def test_many_jobs_enter_the_queue_in_slices_and_in_the_order_of_their_priority(
    server: Server, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await server.dataset()
    model = await server.model(train_datasets=[data], eval_dataset=data)
    body = {"job": None, "actions": ["train"]}
    for _ in range(2):
        await server.call("POST", f"/model/{model}/job", 201, json=[body] * 60)
    (last,) = await server.call("POST", f"/model/{model}/job", 201, json=body)
    await server.call("PATCH", f"/job/{last}", 200, json={"priority": 9})
    store = server.services.store
    passes: list[int] = []
    decide = scheduler.Scheduler._decide

    def counted(self: scheduler.Scheduler) -> bool:
        before = store.jobs.counts().get(State.WAITING, 0)
        complete = decide(self)
        passes.append(before - store.jobs.counts().get(State.WAITING, 0))
        return complete

    monkeypatch.setattr(scheduler.Scheduler, "_decide", counted)
    leased: list[str] = []
    lease = store.jobs.lease

    def noted(job_id: str, *arguments: Any) -> Any:
        leased.append(job_id)
        return lease(job_id, *arguments)

    monkeypatch.setattr(store.jobs, "lease", noted)
    await server.call("POST", f"/dataset/{data}/link", 201, json={"path": str(images("train"))})
    async with server.services.bus.subscribe(server.user.id, None) as events:
        while not leased:
            await anext(aiter(events))
    assert (sum(passes), max(passes) <= scheduler.CHANGED_AT_ONCE) == (121, True)
    assert leased[0] == last


def test_a_run_reports_a_bounded_number_of_metrics() -> None:
    reader = StatusReader("classification_pyt")
    for start in range(0, 3 * MOST_METRICS, 1000):
        names = {f"m{number}": 0.5 for number in range(start, start + 1000)}
        line = {"epoch": 1, "kpi": names, "graphical": names, "categorical": {name: {"a": 0.5} for name in names}}
        reader.feed(msgspec.json.encode(line) + b"\n")
    result = reader.result
    assert max(len(result.kpi), len(result.graphical), len(result.categorical)) == MOST_METRICS


def test_a_search_for_a_status_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "ENTRIES_SEARCHED", 10)
    for number in range(50):
        (tmp_path / str(number)).mkdir()
    assert len([*follow._folders(tmp_path)]) == 10


@pytest.mark.parametrize("kind", ["upload", "download"])
async def test_transfers_of_one_user_take_turns(
    server: Server, images: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data, most = await server.dataset(), server.services.config.server.transfers_per_user
    job = await held(server, await trainable(server, images))
    server.services.jobs.folder(server.services.jobs.record(server.user.id, job)).results.mkdir(parents=True)
    (server.services.root.job(job).results / "weights.pth").write_bytes(b"weights")
    running: list[int] = []
    full, gate = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        running.append(1)
        if len(running) == most:
            full.set()
        await gate.wait()

    async def upload(*arguments: Any) -> UploadAnswer:
        await waits()
        return UploadAnswer("done")

    async def written(write: Any) -> AsyncGenerator[bytes, None]:
        await waits()
        yield b"archive"

    monkeypatch.setattr(server.services.datasets, "upload", upload)
    monkeypatch.setattr(files, "written_by", written)
    verb, path = ("POST", f"/dataset/{data}/upload") if kind == "upload" else ("GET", f"/job/{job}/download")
    asked = [asyncio.create_task(server.client.request(verb, server.base + path)) for _ in range(most + 3)]
    async with asyncio.timeout(PATIENCE_S):
        await full.wait()
        await server.call("GET", f"/dataset/{data}", 200)
        assert len(running) == most
        gate.set()
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {201 if kind == "upload" else 200}
    assert len(running) == most + 3
