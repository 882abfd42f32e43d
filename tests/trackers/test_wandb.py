"""The offline runs of Weights & Biases, read from their files with wandb's own record types."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taod.trackers import feed
from taod.types.job import Categorical, CategoryValue, Graphical, Kpi, Result
from taod.types.state import State
from tests.children import children
from tests.trackers.conftest import until
from tests.trackers.tracked_world import DONE

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")

from wandb.proto.wandb_internal_pb2 import Record

from taod.trackers.run import Run
from taod.trackers.wandb import WRITTEN, WandB

pytestmark = pytest.mark.slow(seconds=8)

JOB = "0123abcd-0000-4000-8000-000000000000"
BLOCK, HEADER = 32 * 1024, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """The records of a run's file: LevelDB's log format, after a header of the same size as a record's."""
    data, at, whole = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (FULL, LAST):
            yield Record.FromString(whole)
            whole = b""


def read(folder: Path, job: str = JOB) -> dict[str, Any]:
    """The run of a job: its history, configuration, summary and exit code."""
    (file,) = folder.glob(f"wandb/offline-run-*-{job}/run-*.wandb")
    found: dict[str, Any] = {"history": [], "config": {}, "summary": {}, "exit": None}

    def take(items: Any, into: dict[str, Any]) -> None:
        for item in items:
            into[".".join(item.nested_key) or item.key] = json.loads(item.value_json)

    for record in records(file):
        match record.WhichOneof("record_type"):
            case "history":
                row: dict[str, Any] = {"step": record.history.step.num}
                take(record.history.item, row)
                found["history"].append({key: value for key, value in row.items() if not key.startswith("_")})
            case "run":
                take(record.run.config.update, found["config"])
                found["name"], found["group"] = record.run.display_name, record.run.run_group
            case "config":
                take(record.config.update, found["config"])
            case "summary":
                take(record.summary.update, found["summary"])
            case "exit":
                found["exit"] = record.exit.exit_code
    return found


def described(**more: Any) -> Run:
    fields: dict[str, Any] = {
        "id": JOB, "owner_id": "a" * 36, "owner_name": "cats", "network": "dino", "action": "train", "release": "5.0",
        "state": "done", "reason": "", "complete": True, "attempt": 1, "created_on": "2026-01-01T00:00:00+00:00",
        "spec": {"train": {"num_gpus": 2}, "encryption_key": "of the model"},
    }  # fmt: skip
    return Run(**(fields | more))


def losses(*values: float | None) -> Result:
    return Result(kpi=[Kpi("loss", {str(step): value for step, value in enumerate(values, 1)})])


def test_a_whole_run_is_in_the_file(tmp_path: Path) -> None:
    result = losses(0.5, None)
    result.graphical = [Graphical("lr", {"2": 0.1, "10": 0.01})]
    result.categorical = [Categorical("IoU", [CategoryValue("a.b", 0.25)])]
    WandB(tmp_path).write(described(result=result))
    run = read(tmp_path)
    first, second, third = run["history"]
    assert first == {"step": 1, "metrics/loss": 0.5} and third == {"step": 10, "curves/lr": 0.01}
    assert second["curves/lr"] == 0.1 and math.isnan(float(second["metrics/loss"]))
    assert run["config"]["train"]["num_gpus"] == 2 and "of the model" not in str(run["config"])
    assert run["summary"]["state"] == "done" and run["summary"]["IoU of a_b"] == 0.25
    assert (run["name"], run["group"], run["exit"]) == ("train-0123abcd", "cats", 0)


def test_a_long_run_is_read_whole(tmp_path: Path) -> None:
    WandB(tmp_path).write(described(result=losses(*[float(n) for n in range(3000)])))
    assert [row["metrics/loss"] for row in read(tmp_path)["history"]] == [*range(3000)]


def test_a_run_is_written_once_and_replaced_when_it_has_continued(tmp_path: Path) -> None:
    WandB(tmp_path).write(described(result=losses(0.5), state="paused"))
    (file,) = tmp_path.rglob("*.wandb")
    before = file.stat()
    WandB(tmp_path).write(described(result=losses(0.5), state="paused"))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    WandB(tmp_path).write(described(result=losses(0.5, 0.25), state="failed"))
    run = read(tmp_path)
    assert len(run["history"]) == 2 and run["exit"] == 1


def test_an_interrupted_run_is_replaced_and_a_synchronised_one_kept(tmp_path: Path) -> None:
    WandB(tmp_path).write(described(result=losses(0.5, 0.25)))
    (file,) = tmp_path.rglob("*.wandb")
    (file.parent / WRITTEN).unlink()
    file.write_bytes(file.read_bytes()[:200])  # killed in the middle
    WandB(tmp_path).write(described(result=losses(0.5, 0.25)))
    assert len(read(tmp_path)["history"]) == 2
    (file,) = tmp_path.rglob("*.wandb")
    file.with_name(f"{file.name}.synced").touch()
    (file.parent / WRITTEN).write_text("of before")
    file.parent.rename(file.parent.with_name(f"offline-run-20200101_000000-{JOB}"))
    WandB(tmp_path).write(described(result=losses(0.5, 0.25, 0.1)))
    assert len([*tmp_path.rglob("*.wandb")]) == 2


async def test_a_daemon_writes_jobs_at_their_end(tracked) -> None:
    one = await tracked(tensorboard="", wandb="offline")
    job = one.post(f"epoch 1; touch ready; wait_for go; epoch 2; {DONE}")
    await one.world.until_epoch(job, 1)
    await until(one.world.file(job, "ready").exists)
    assert children(feed.MODULE) == []
    one.world.file(job, "go").touch()
    await until(lambda: one.recorded(job))
    run = read(one.world.root.path / "offline", job)
    assert [row["step"] for row in run["history"]] == [1, 2] and run["exit"] == 0
    failed = one.post("exit 3")
    await one.world.until(failed, State.FAILED)
    await until(lambda: one.recorded(failed))
    assert read(one.world.root.path / "offline", failed)["exit"] == 1
