"""Telemetry: from a line in a run's file to the store and the listeners, over attempts and restarts of the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taod import backoff
from taod.errors import NotFound
from taod.paths import JobFolder
from taod.telemetry import telemetry as module
from taod.telemetry.bus import Event, EventBus, Stream
from taod.telemetry.publisher import Publisher
from taod.telemetry.telemetry import Final, Telemetry
from taod.types.event import EventType, StatusUpdate
from taod.types.job import DetailedStatus, JobView, Result
from tests.patience import PATIENCE_S


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def report(folder: JobFolder, *lines: bytes) -> None:
    """Append to the file as the tool does."""
    with (folder.results / "status.json").open("ab") as file:
        file.write(b"".join(lines))


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
async def telemetry(bench, bus: EventBus) -> AsyncIterator[Telemetry]:
    telemetry = Telemetry(bench.store, Publisher(bus))
    yield telemetry
    await telemetry.close()


async def hear(stream: Stream, type: EventType, how_many: int = 1) -> list[Event]:
    """The next events of one type."""
    heard: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(heard) < how_many:
            event = await anext(stream)
            if event.type is type:
                heard.append(event)
    return heard


async def test_a_line_reaches_the_store_and_the_listeners(bench, bus: EventBus, telemetry: Telemetry) -> None:
    job = bench.job(metric="VAL_MAP")
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    async with bus.subscribe(bench.user.id) as stream:
        report(folder, line(epoch=1, max_epoch=2, status="RUNNING", message="going on", kpi={"val_mAP": 0.5}))
        (event,) = await hear(stream, EventType.STATUS)
        update = msgspec.json.decode(event.data, type=StatusUpdate)
        assert (update.job_id, update.epoch, update.kpi) == (job.id, 1, {"val_mAP": 0.5})
        (event,) = await hear(stream, EventType.JOB)
        view = msgspec.json.decode(event.data, type=JobView)
        assert (view.metric_value, view.result.epoch, view.result.kpi) == (0.5, 1, [])
    assert bench.store.jobs.result(job.id).kpi[0].values == {"1": 0.5}
    report(folder, line(status="SUCCESS", message="done"))
    final = await telemetry.finish(job.id)
    assert (final.status, final.message) == ("SUCCESS", "done")
    assert bench.store.jobs.result(job.id) == final.result


async def test_each_line_is_a_separate_event(bench, bus: EventBus, telemetry: Telemetry) -> None:
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    async with bus.subscribe(bench.user.id) as stream:
        for epoch in range(15):
            report(folder, line(epoch=epoch, status="RUNNING", kpi={"loss": epoch}))
            (event,) = await hear(stream, EventType.STATUS)
            assert msgspec.json.decode(event.data, type=StatusUpdate).epoch == epoch


async def test_lines_before_the_end_are_read_even_before_following_started(bench, telemetry: Telemetry) -> None:
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    report(folder, *(line(epoch=epoch, kpi={"a": epoch}) for epoch in range(2_000)), b'{"status": "SUCCESS"}')
    final = await telemetry.finish(job.id)
    assert final.status == "SUCCESS" and len(final.result.kpi[0].values) == 2_000


async def test_an_earlier_success_does_not_count_for_a_new_attempt(bench, bus: EventBus, telemetry: Telemetry) -> None:
    job = bench.job(attempt=2)
    folder = bench.folder(job)
    report(folder, line(epoch=1, status="RUNNING", kpi={"a": 1}), line(status="SUCCESS", message="old"), b'{"epoch": 7')
    bench.store.jobs.save_result(job.id, Result(detailed_status=DetailedStatus(message="Paused at epoch 1")))
    telemetry.start(job, folder, fresh=True)
    kept = bench.store.jobs.result(job.id)
    assert kept.kpi[0].values == {"1": 1.0}
    assert kept.detailed_status is not None and kept.detailed_status.message == "Paused at epoch 1"
    final = await telemetry.finish(job.id)
    assert (final.status, final.message) == (None, "")

    telemetry.start(job, folder, fresh=True)
    report(folder, line(epoch=2, status="FAILURE", message="CUDA out of memory", kpi={"a": 2}))
    final = await telemetry.finish(job.id)
    assert (final.status, final.message, final.result.kpi[0].values) == (
        "FAILURE",
        "CUDA out of memory",
        {"1": 1.0, "2": 2.0},
    )


@pytest.mark.parametrize(("network", "epochs"), [("mal", {"1", "2", "3", "4"}), ("ocdnet", {"1", "2"})])
async def test_epochs_of_a_resumed_training_follow_those_before(
    bench, bus: EventBus, network: str, epochs: set[str]
) -> None:
    """mal counts from 1 again in each attempt, also for a daemon that was restarted meanwhile."""
    job = bench.job(network=network)
    folder = bench.folder(job)
    first = Telemetry(bench.store, Publisher(bus))
    first.start(job, folder, fresh=True)
    report(folder, *(line(epoch=epoch, status="RUNNING", kpi={"mIoU": epoch / 10}) for epoch in (1, 2)))
    await first.finish(job.id)
    for epoch in (0, 1):
        (folder.results / f"vit-mae-base-malepoch=00{epoch}.pth").write_bytes(b"weights")
    job = bench.store.jobs.update(job.id, attempt=2)
    first.start(job, folder, fresh=True)
    report(folder, line(epoch=1, status="RUNNING", kpi={"mIoU": 0.7}))
    await first.close()
    (folder.results / "vit-mae-base-malepoch=002.pth").write_bytes(b"weights")

    restarted = Telemetry(bench.store, Publisher(bus))
    restarted.start(job, folder)
    report(folder, line(epoch=2, status="RUNNING", kpi={"mIoU": 0.9}))
    found = (await restarted.finish(job.id)).result
    assert set(found.kpi[0].values) == epochs
    assert found.epoch == len(epochs)


async def test_a_restarted_daemon_knows_where_the_attempt_started(bench, bus: EventBus) -> None:
    job = bench.job(attempt=2)
    folder = bench.folder(job)
    report(folder, line(epoch=1, status="SUCCESS", message="old"))
    before = Telemetry(bench.store, Publisher(bus))
    before.start(job, folder, fresh=True)
    await before.close()

    silent = Telemetry(bench.store, Publisher(bus))
    silent.start(job, folder)
    assert (await silent.finish(job.id)).status is None

    report(folder, line(status="RUNNING", message="new"))
    after = Telemetry(bench.store, Publisher(bus))
    after.start(job, folder)
    final = await after.finish(job.id)
    assert (final.status, final.message) == ("RUNNING", "new")


async def test_an_adopted_run_is_read_completely_without_publishing_old_lines_again(
    bench, bus: EventBus, telemetry
) -> None:
    job = bench.job(metric="loss")
    folder = bench.folder(job)
    report(folder, line(epoch=1, status="RUNNING", kpi={"loss": 3}), b'{"epoch": 2, "kpi": {"lo')
    async with bus.subscribe(bench.user.id) as stream:
        telemetry.start(job, folder)
        adopted = bench.store.jobs.get(job.id)
        assert adopted is not None and adopted.metric_value == 3
        report(folder, b'ss": 2}, "status": "RUNNING"}\n')
        (event,) = await hear(stream, EventType.STATUS)
        assert msgspec.json.decode(event.data, type=StatusUpdate).epoch == 2


async def test_metrics_are_kept_when_a_tool_replaces_its_file(bench, bus: EventBus, telemetry) -> None:
    job = bench.job(attempt=2)
    folder = bench.folder(job)
    report(folder, line(epoch=1, status="RUNNING", kpi={"a": 1}, message="long" * 50))
    telemetry.start(job, folder, fresh=True)
    (folder.results / "status.json").write_bytes(line(epoch=2, status="SUCCESS", kpi={"a": 2}))
    final = await telemetry.finish(job.id)
    assert final.status == "SUCCESS"
    assert final.result.kpi[0].values == {"1": 1.0, "2": 2.0}


async def test_a_file_below_the_results_is_followed(bench, bus: EventBus, telemetry: Telemetry) -> None:
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    async with bus.subscribe(bench.user.id) as stream:
        (folder.results / "train").mkdir()
        (folder.results / "train" / "status.json").write_bytes(line(epoch=1, status="RUNNING"))
        await hear(stream, EventType.STATUS)


async def test_many_lines_are_read_completely_and_stored_in_batches(
    bench, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job()
    folder = bench.folder(job)
    saves, save = [], bench.store.jobs.save_result
    monkeypatch.setattr(bench.store.jobs, "save_result", lambda *a, **more: saves.append(a) or save(*a, **more))
    telemetry.start(job, folder, fresh=True)
    for start in range(0, 20_000, 500):
        report(folder, *(line(cur_iter=number, status="RUNNING") for number in range(start, start + 500)))
        await asyncio.sleep(0)
    final = await telemetry.finish(job.id)
    assert final.result.cur_iter == 19_999
    assert len(saves) <= 80, "at most one for each append and each block"


@pytest.mark.parametrize(
    ("network", "spec", "total"),
    [
        ("classification_pyt", {"train": {"train_config": {"runner": {"max_epochs": 7}}}}, 7),
        ("classification_pyt", {"train": {}}, 40),
        ("segformer", {"train": {"max_iters": 7}}, None),
    ],
    ids=["saved", "default", "iterations"],
)
async def test_the_number_of_epochs_comes_from_the_specification(
    bench, bus: EventBus, telemetry: Telemetry, network: str, spec: dict[str, Any], total: int | None
) -> None:
    job = bench.store.jobs.update(bench.job(network=network).id, spec=spec)
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    async with bus.subscribe(bench.user.id) as stream:
        report(folder, line(epoch=1, status="RUNNING"))
        update = msgspec.json.decode((await hear(stream, EventType.STATUS))[0].data, type=StatusUpdate)
    assert update.max_epoch == total
    assert bench.store.jobs.result(job.id).max_epoch == total


async def test_a_reported_number_of_epochs_overrides_the_specification(bench, telemetry: Telemetry) -> None:
    spec = {"train": {"train_config": {"runner": {"max_epochs": 7}}}}
    job = bench.store.jobs.update(bench.job(network="classification_pyt").id, spec=spec)
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    report(folder, line(epoch=1, max_epoch=9, status="RUNNING"), line(epoch=2, status="RUNNING"))
    final = await telemetry.finish(job.id)
    assert (final.result.epoch, final.result.max_epoch) == (2, 9)


async def test_following_a_deleted_job_ends_without_an_error(bench, bus: EventBus, telemetry: Telemetry) -> None:
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    bench.store.jobs.delete(job.id)
    report(folder, line(status="SUCCESS", message="done"))
    assert (await telemetry.finish(job.id)).status == "SUCCESS"


async def test_a_job_that_is_not_followed_has_no_final_status(bench, telemetry: Telemetry) -> None:
    job = bench.job()
    bench.store.jobs.save_result(job.id, Result(epoch=3))
    assert await telemetry.finish(job.id) == Final(None, "", Result(epoch=3))
    with pytest.raises(NotFound):
        await telemetry.finish("none")


def open_files(name: str, root: Path) -> int:
    """Number of this process's descriptors for a file of this name below `root`."""
    links = [Path(os.path.realpath(fd)) for fd in Path("/proc/self/fd").iterdir()]
    return sum(link.name == name and link.is_relative_to(root.resolve()) for link in links)


@pytest.mark.parametrize("turns", [0, 1, 50])
async def test_closing_ends_threads_and_closes_files(bench, bus: EventBus, turns: int) -> None:
    threads = threading.active_count()
    telemetry = Telemetry(bench.store, Publisher(bus))
    for _ in range(3):
        job = bench.job()
        folder = bench.folder(job)
        report(folder, line(status="RUNNING"))
        telemetry.start(job, folder)
        telemetry.start(job, folder)
    assert open_files("status.json", bench.root) == 3
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(telemetry.close(), PATIENCE_S)
    assert threading.active_count() <= threads
    assert open_files("status.json", bench.root) == 0


async def test_a_failed_write_is_retried_without_further_reports(
    bench, bus: EventBus, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    save, fails = bench.store.jobs.save_result, 3

    def locked(*given: Any, **named: Any) -> Any:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise OSError("database is locked")
        return save(*given, **named)

    monkeypatch.setattr(bench.store.jobs, "save_result", locked)
    async with bus.subscribe(bench.user.id) as stream:
        report(folder, line(epoch=1, max_epoch=2, status="RUNNING", kpi={"loss": 0.5}))
        (event,) = await hear(stream, EventType.STATUS)
    assert msgspec.json.decode(event.data, type=StatusUpdate).kpi == {"loss": 0.5}
    assert bench.store.jobs.result(job.id).kpi[0].values == {"1": 0.5}


async def test_following_continues_after_its_folder_could_not_be_watched(
    bench, bus: EventBus, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    follow, fails = module.follow, 2

    def followed(tail: Any) -> Any:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise RuntimeError("can't start new thread")
        return follow(tail)

    monkeypatch.setattr(module, "follow", followed)
    job = bench.job()
    folder = bench.folder(job)
    telemetry.start(job, folder, fresh=True)
    async with bus.subscribe(bench.user.id) as stream:
        report(folder, line(epoch=1, max_epoch=2, status="RUNNING", kpi={"loss": 0.5}))
        await hear(stream, EventType.STATUS)
    assert fails < 0


async def test_a_run_is_followed_in_the_status_folder_of_its_command(
    bench, bus: EventBus, telemetry: Telemetry
) -> None:
    job = bench.job()
    folder = bench.folder(job)
    status_folder = folder.path / "data" / "train" / "lmdb"
    folder.command.parent.mkdir(parents=True, exist_ok=True)
    folder.command.write_text(json.dumps({"status_folder": str(status_folder)}))
    status_folder.mkdir(parents=True)
    (status_folder / "status.json").write_bytes(line(status="FAILURE", message="of an earlier conversion"))
    telemetry.start(job, folder, fresh=True)
    with (status_folder / "status.json").open("ab") as file:
        file.write(line(status="SUCCESS", message="converted"))
    final = await telemetry.finish(job.id)
    assert (final.status, final.message) == ("SUCCESS", "converted")
