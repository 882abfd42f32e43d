"""What MLflow's own client gets of the daemon's jobs, from its database and from a server that hangs, dies or lies."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from taod import installed
from taod.trackers import feed
from taod.types.job import Graphical, Kpi, Result
from taod.types.state import State
from tests.children import children
from tests.patience import PATIENCE_S
from tests.trackers.conftest import until
from tests.trackers.tracked_world import DONE

pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from taod.trackers.mlflow import MLflow
from taod.trackers.run import Run

pytestmark = pytest.mark.slow(seconds=8)

JOB = "0123abcd-0000-4000-8000-000000000000"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def described(**more: Any) -> Run:
    fields: dict[str, Any] = {
        "id": JOB, "owner_id": "a" * 36, "owner_name": "cats", "network": "dino", "action": "train", "release": "5.0",
        "state": "running", "reason": "", "complete": False, "attempt": 1, "created_on": "2026-01-01T00:00:00+00:00",
        "spec": {"train": {"num_gpus": 2}},
    }  # fmt: skip
    return Run(**(fields | more))


def losses(*values: float | None) -> Result:
    return Result(kpi=[Kpi("loss", {str(step): value for step, value in enumerate(values, 1)})])


def runs(uri: str) -> list[Any]:
    client = MlflowClient(uri)
    return [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]


def history(uri: str, run: Any, metric: str) -> list[tuple[int, float]]:
    found = MlflowClient(uri).get_metric_history(run.info.run_id, metric)
    return sorted((each.step, each.value) for each in found)


def test_each_process_adds_what_is_missing(uri: str) -> None:
    for count in range(1, 5):
        MLflow(uri).write(described(result=losses(*[0.5] * count)))
        (run,) = runs(uri)
        assert history(uri, run, "metrics/loss") == [(step, 0.5) for step in range(1, count)]
    MLflow(uri).write(described(result=losses(0.5, 0.5, 0.5, 0.5, None), state="done", complete=True))
    (run,) = runs(uri)
    found = history(uri, run, "metrics/loss")
    assert found[:4] == [(step, 0.5) for step in range(1, 5)] and math.isnan(found[4][1])
    assert run.info.status == "FINISHED" and run.data.params["train.num_gpus"] == "2"
    assert run.data.tags["taod.state"] == "done" and run.info.run_name == "train-0123abcd"
    MLflow(uri).write(described(result=losses(0.5, 0.5, 0.5, 0.5, None), state="done", complete=True))
    assert len(history(uri, run, "metrics/loss")) == 5


def test_a_value_changes_only_while_it_is_not_sent(uri: str) -> None:
    tracker = MLflow(uri)
    tracker.write(described(result=losses(0.5, 0.9)))
    tracker.write(described(result=losses(0.5, 0.25, 0.1)))
    (run,) = runs(uri)
    assert history(uri, run, "metrics/loss") == [(1, 0.5), (2, 0.25)]


def test_hostile_names_and_long_values_are_taken(uri: str) -> None:
    names = ["a//b", "..", "mAP@[.5:.95]", "mAP@[,5:.95]", "ü" * 300, "/x", "a/../b", "a b"]
    result = Result(graphical=[Graphical(name, {"1": number}) for number, name in enumerate(names)])
    spec = {"script": "x" * 100_000, "list": [1, {"a": 2}], "class [0]": {"é": None}, "encryption_key": "of the model"}
    MLflow(uri).write(described(result=result, spec=spec, complete=True, state="failed"))
    (run,) = runs(uri)
    assert sorted(run.data.metrics.values()) == [*range(len(names))]
    assert "of the model" not in str(run.data.params) and run.info.status == "FAILED"


def test_trials_are_below_their_sweep_and_a_deleted_run_stays_deleted(uri: str) -> None:
    sweep = "9" * 36
    tracker = MLflow(uri)
    for trial in range(2):
        tracker.write(described(id=f"{trial}" * 36, trial=trial, sweep_id=sweep, sweep_action="train"))
    tracker.write(described(id=sweep, result=losses(0.5), complete=True, state="done"))
    assert len(MlflowClient(uri).search_experiments()) == 2  # MLflow's own default and the model's
    (parent,) = [run for run in runs(uri) if run.data.tags["taod.job"] == sweep]
    below = [run for run in runs(uri) if run is not parent and "mlflow.parentRunId" in run.data.tags]
    assert [run.data.tags["mlflow.parentRunId"] for run in below] == [parent.info.run_id] * 2
    MlflowClient(uri).delete_run(below[0].info.run_id)
    gone = below[0].data.tags["taod.job"]
    MLflow(uri).write(described(id=gone, trial=0, sweep_id=sweep, result=losses(0.1, 0.2)))
    assert gone not in [run.data.tags["taod.job"] for run in runs(uri)]


def test_an_interrupted_batch_is_completed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server took it, and the answer was lost."""
    tracker = MLflow(uri)
    log = tracker._client.log_batch

    def lost(run_id: str, **what: Any) -> None:
        log(run_id, **what)
        raise MlflowException("the connection was closed")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_batch", lost)
        for _ in range(2):  # parameters, then metrics
            with pytest.raises(OSError, match="closed"):
                tracker.write(described(result=losses(0.5, 0.25, 0.1)))
    tracker.write(described(result=losses(0.5, 0.25, 0.1), complete=True, state="done"))
    (run,) = runs(uri)
    assert history(uri, run, "metrics/loss") == [(1, 0.5), (2, 0.25), (3, 0.1)]


async def test_a_daemon_writes_its_jobs(tracked, uri: str) -> None:
    runs(uri)  # the tables are there: MLflow's processes create them without a lock
    one = await tracked(tensorboard="", mlflow=uri)
    job = one.post(f"epoch 1; epoch 2; wait_for go; epoch 3; {DONE}")
    await until(lambda: any(run.data.metrics for run in runs(uri)))
    one.world.file(job, "go").touch()
    await until(lambda: one.recorded(job))
    (run,) = runs(uri)
    assert [step for step, _ in history(uri, run, "curves/loss")] == [1, 2, 3]
    assert run.info.status == "FINISHED"


SERVER = """
import sys
sys.modules["torch"] = None  # 2 s
from mlflow.server import app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
async def serve(uri: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[tuple[Any, int]]]]:
    """Starts MLflow's own tracking server, on a free port or on a given one. Its libraries do not agree with those of
    other tests: `pip install --no-deps --target DIR flask flask-cors graphene graphql-relay huey blinker itsdangerous`,
    and PYTHONPATH=DIR."""
    for library in ("flask", "flask_cors", "graphene", "huey"):
        pytest.importorskip(library, reason="MLflow's server needs more than its client")
    started: list[asyncio.subprocess.Process] = []

    async def start(port: int = 0) -> tuple[asyncio.subprocess.Process, int]:
        environment = {"_MLFLOW_SERVER_FILE_STORE": uri, "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path / "artifacts")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVER, str(port)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=tmp_path,
        )
        started.append(process)
        assert process.stdout is not None
        return process, int(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_server_that_dies_and_returns_gets_every_point_once(
    tracked, serve: Any, uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do daemons, whose processes are killed in the middle."""
    monkeypatch.setattr(feed, "LONGEST_S", 0.2)
    runs(uri)
    server, port = await serve()
    options = {"tensorboard": "", "mlflow": f"http://127.0.0.1:{port}"}
    one = await tracked(**options)
    job = one.post(f"epoch 1; epoch 2; wait_for go; epoch 3; epoch 4; wait_for end; epoch 5; {DONE}")

    def steps() -> list[int]:
        found = runs(uri)
        return [step for step, _ in history(uri, found[0], "curves/loss")] if found else []

    await until(lambda: steps() == [1])
    server.kill()
    await server.wait()
    one.world.file(job, "go").touch()
    await until(lambda: "runs are not written to mlflow" in caplog.text)
    server, _ = await serve(port)
    await until(lambda: steps() == [1, 2, 3])
    for each in children(feed.MODULE):
        each.kill()
    two = await tracked(**options)
    two.world.file(job, "end").touch()
    await until(lambda: two.recorded(job))
    assert steps() == [1, 2, 3, 4, 5]
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes requests and never answers."""
    over = Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            over.wait()

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    server.server_close()


async def test_a_server_that_hangs_holds_neither_daemon_nor_other_trackers(
    tracked, silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    with caplog.at_level(logging.INFO, "taod.trackers"):
        one = await tracked(mlflow=silent, timeout_s=5.0)
        boards = next(each for each in one.trackers._feeds if each.target.kind == "tensorboard")
        jobs = [one.post(f"epoch 1; {DONE}") for _ in range(2)]
        for job in jobs:
            await until(lambda job=job: one.recorded(job, boards))
        await until(lambda: "runs are not written to mlflow" in caplog.text)
        await asyncio.sleep(1)
        assert [one.world.job(job).state for job in jobs] == [State.DONE] * 2
        await asyncio.wait_for(one.trackers.stop(), 30)
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1


async def test_a_missing_library_is_named(tracked, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(feed, "find_spec", lambda _: None)
    await tracked(tensorboard="", mlflow="https://127.0.0.1:1")
    assert installed.add("mlflow") in caplog.text
