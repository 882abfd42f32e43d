"""What TensorBoard's own reader gets of the daemon's jobs: live, after the end, over kills, resumes and retries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
pytest.importorskip("tensorboard", reason="TensorBoard's reader is not installed")

from taod import installed
from taod.catalogue import Catalogue
from taod.catalogue.releases import KNOWN
from taod.catalogue.schema.merge import default
from taod.config import SupervisionConfig
from taod.trackers import feed
from taod.trackers.run import Run, specification_text
from taod.types.state import State
from tests.children import children
from tests.patience import PATIENCE_S
from tests.trackers.conftest import until
from tests.trackers.readers import runs, scalars, texts
from tests.trackers.tracked_world import DONE

DAEMON = Path(__file__).with_name("tracked_world.py")


def steps(folder: Path) -> dict[str, list[int]]:
    return {tag: [step for step, _ in points] for tag, points in scalars(folder).items()} if folder.exists() else {}


def written(below: Path) -> list[Path]:
    """The folders of all runs."""
    return [path.parent for path in below.rglob("events*")]


def expected(epochs: int) -> dict[str, list[int]]:
    return {"metrics/val_mAP": [*range(1, epochs + 1)], "curves/loss": [*range(1, epochs + 1)]}


async def test_a_run_is_written_while_it_lasts_and_complete_at_its_end(tracked) -> None:
    one = await tracked()
    job = one.post(f"epoch 1; epoch 2; wait_for go; epoch 3; {DONE}")
    await until(lambda: written(one.boards) and steps(one.run(job)) == expected(2))
    assert "result" not in texts(one.run(job))
    one.world.file(job, "go").touch()
    await until(lambda: one.recorded(job))
    assert steps(one.run(job)) == expected(3)
    assert scalars(one.run(job))["curves/loss"] == [(1, 99.5), (2, 98.5), (3, 97.5)]
    found = texts(one.run(job))
    assert "script: " in found["specification"][0]
    assert "| state | done |" in found["result"][0] and "| val_mAP | 0.3 |" in found["result"][0]
    assert [*runs(one.boards)] == [str(one.run(job).relative_to(one.boards))]
    assert one.run(job).name.startswith("train-") and one.run(job).parent.name.startswith("My Model-")


@pytest.mark.slow(seconds=12)
async def test_kills_of_the_daemon_lose_and_repeat_nothing(tracked, tmp_path: Path) -> None:
    """The run continues through them, and the writing process dies with each."""
    epochs = 9
    one = await tracked(run=False)
    script = "".join(f"wait_for {each}; epoch {each};" for each in range(1, epochs + 1))
    job = one.post(f"touch ready; {script} {DONE}")
    await tracked.stop()
    ready = one.world.file(job, "ready")
    for kill in range(1, epochs + 1):
        daemon = await asyncio.create_subprocess_exec(
            *(sys.executable, str(DAEMON), str(tmp_path / "root")),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert daemon.stdout is not None
        await asyncio.wait_for(daemon.stdout.readline(), PATIENCE_S)
        await until(ready.exists)
        one.world.file(job, str(kill)).touch()
        if kill % 2:  # else at any instant of the start
            await until(lambda kill=kill: written(one.boards) and steps(one.run(job)) == expected(kill))
        daemon.send_signal(signal.SIGKILL)
        await daemon.wait()
    last = await tracked()
    await until(lambda: last.recorded(job))
    assert steps(last.run(job)) == expected(epochs)
    assert len([*last.boards.rglob("events*")]) == 1


async def test_a_resume_continues_the_run(tracked) -> None:
    one = await tracked()
    job = one.post(
        "if [ -e paused ]; then epoch 2; epoch 3; epoch 4; " + DONE + "; else "
        "trap 'exit 143' TERM; touch paused; epoch 1; epoch 2; wait_for never; fi"
    )
    await until(lambda: written(one.boards) and steps(one.run(job)) == expected(2))
    await one.world.scheduler.pause(job)
    await one.world.until(job, State.PAUSED)
    await until(lambda: "| state | paused |" in "".join(texts(one.run(job)).get("result", [])))
    one.world.scheduler.resume(job)
    await until(lambda: one.recorded(job))
    assert steps(one.run(job)) == expected(4)
    assert "| state | done |" in texts(one.run(job))["result"][-1]


async def test_a_retry_continues_the_run(tracked) -> None:
    supervision = SupervisionConfig(retries=1, retry_exits=[7], backoff_s=0.01)
    one = await tracked(world={"supervision": supervision})
    job = one.post(f"if [ -e once ]; then epoch 2; epoch 3; {DONE}; else touch once; epoch 1; epoch 2; exit 7; fi")
    await until(lambda: one.recorded(job))
    assert one.world.job(job).attempt == 2
    assert steps(one.run(job)) == expected(3)
    assert "| attempts | 2 |" in texts(one.run(job))["result"][-1]


async def test_trials_of_a_sweep_are_runs_side_by_side(tracked) -> None:
    one = await tracked()
    owner = one.world.owner()
    sweep = one.post(DONE, owner=owner)
    trials = [one.post(f"epoch {n + 1}; {DONE}", owner=owner, sweep_id=sweep, trial=n) for n in range(2)]
    for job in trials:
        await until(lambda job=job: one.recorded(job))
    for number, job in enumerate(trials):
        assert one.run(job).parent == one.run(sweep) and one.run(job).name.startswith(f"trial-00{number}-")
        assert steps(one.run(job))["curves/loss"] == [number + 1]


async def test_jobs_of_before_are_written_once_and_a_rename_changes_no_folder(tracked) -> None:
    one = await tracked(tensorboard="")
    owner = one.world.owner()
    jobs = [one.post(f"epoch 1; {DONE}", owner=owner) for _ in range(3)]
    never = one.world.post("", owner=owner)  # fails before it starts
    await one.world.settled([*jobs, never])
    assert not one.boards.exists() and children(feed.MODULE) == []
    two = await tracked()
    for job in jobs:
        await until(lambda job=job: two.recorded(job))
    written = {path: path.stat().st_mtime_ns for path in two.boards.rglob("events*")}
    assert len(written) == 3
    three = await tracked(run=False)
    three.world.store.models.update(owner[1], name="Another")
    await three.start()
    later = three.post(f"epoch 1; {DONE}", owner=owner)
    await until(lambda: three.recorded(later))
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len({*three.boards.iterdir()}) == 1


async def test_a_removed_folder_is_written_again(tracked) -> None:
    one = await tracked()
    job = one.post(f"epoch 1; {DONE}")
    await until(lambda: one.recorded(job))
    await tracked.stop()
    one.boards.rename(one.boards.with_name("former"))
    two = await tracked()
    await until(lambda: written(two.boards) and steps(two.run(job)) == expected(1))


async def test_a_folder_that_cannot_be_written_is_one_warning_and_disturbs_no_job(
    tracked, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(feed, "LONGEST_S", 0.05)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "boards").write_text("in the way")
    with caplog.at_level(logging.INFO, "taod.trackers"):
        one = await tracked()
        jobs = [one.post(f"epoch 1; {DONE}") for _ in range(2)]
        await one.world.settled(jobs)
        await until(lambda: "runs are not written to tensorboard" in caplog.text)
        await asyncio.sleep(0.5)
        one.boards.unlink()
        for job in jobs:
            await until(lambda job=job: one.recorded(job))
    warnings = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "Error" in warnings[0] and str(one.boards) in warnings[0]
    assert "runs are written to tensorboard again" in caplog.text
    assert [one.world.job(job).state for job in jobs] == [State.DONE, State.DONE]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow(seconds=2)
async def test_a_full_disk_is_one_warning_and_loses_nothing(
    tracked, disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LONGEST_S", 0.05)
    one = await tracked(tensorboard=str(disk / "boards"))
    job = one.post(f"epoch 1; wait_for go; epoch 2; epoch 3; {DONE}")
    await until(lambda: written(disk) != [])
    (folder,) = written(disk)
    await until(lambda: steps(folder) == expected(1))
    with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(512))
    # Until the file's last block is full, too, points fit.
    more = "".join(f"epoch {epoch};" for epoch in range(1, 10)) * 4
    jobs = [one.post(f"{more} {DONE}") for _ in range(2)]
    one.world.file(job, "go").touch()
    await one.world.settled([job, *jobs])
    await until(lambda: "runs are not written to tensorboard: OSError: [Errno 28]" in caplog.text)
    assert steps(folder)["curves/loss"][:1] == [1]  # it is readable
    (disk / "rest").unlink()
    for each in (job, *jobs):
        await until(lambda each=each: one.recorded(each))
    assert steps(folder) == expected(3)
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1


async def test_a_missing_library_is_one_warning_with_the_remedy(
    tracked, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(feed.LIBRARIES, "tensorboard", "no_such_library")
    one = await tracked()
    job = one.post(f"epoch 1; {DONE}")
    await one.world.settled([job])
    (warning,) = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert installed.add("tensorboard") in warning
    assert children(feed.MODULE) == [] and not one.boards.exists()


async def test_a_run_that_cannot_be_written_holds_no_other(
    tracked, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LONGEST_S", 0.01)
    one = await tracked(tensorboard="", run=False)
    wrong, job = one.post(f"epoch 1; {DONE}"), one.post(f"epoch 1; {DONE}")
    with one.world.store.transaction():  # a fault of taod's own
        one.world.store._database.update("jobs", {"created_on": "never"}, "id = ?", [wrong])
    await tracked.stop()
    two = await tracked()
    await two.world.settled([wrong, job])
    await until(lambda: two.recorded(job))
    await until(lambda: f"the run of job {wrong} is not written to tensorboard: ValueError" in caplog.text)
    assert not two.recorded(wrong)


async def test_a_killed_process_is_replaced(tracked) -> None:
    one = await tracked()
    job = one.post(f"epoch 1; wait_for go; epoch 2; {DONE}")
    await until(lambda: written(one.boards) and steps(one.run(job)) == expected(1))
    for each in children(feed.MODULE):
        each.kill()
    one.world.file(job, "go").touch()
    await until(lambda: one.recorded(job))
    assert steps(one.run(job)) == expected(2)


@pytest.mark.parametrize("release", KNOWN)
def test_every_specification_becomes_text(release: str) -> None:
    catalogue = Catalogue()
    for name in catalogue.networks(release):
        network = catalogue.network(name, release)
        for action in network.actions:
            run = Run(
                id="a" * 36, owner_id="b" * 36, owner_name="m", network=name, action=action, release=release,
                state="done", reason="", complete=True, attempt=1, created_on="2026-01-01T00:00:00+00:00",
                spec={**default(network, action), "encryption_key": "of the model"},
            )  # fmt: skip
            text = specification_text(run)
            assert text and "of the model" not in text
