"""A model from creation to deletion through the command line, on a real daemon with a scripted tool."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow(seconds=1)


@pytest.mark.slow
def test_a_script_runs_the_whole_workflow_of_a_model(daemon, archive: Path, tmp_path: Path) -> None:
    def taod(*arguments: str, code: int = 0) -> str:
        ran: subprocess.CompletedProcess[str] = daemon.process_run(*arguments, cwd=tmp_path)
        assert ran.returncode == code, (arguments, ran.stdout, ran.stderr)
        return ran.stdout.strip()

    data = taod("dataset", "create", "image_classification", "classification_pyt", "name=life", "-q")
    assert "2 images" in taod("dataset", "upload", data, str(archive))
    model = taod("model", "create", "classification_pyt", "name=life model", "train_datasets=life", "-q")
    assert "Changed" in taod("model", "set", "life model", f"eval_dataset={data[:9]}", "epoch_multiplier=2")
    spec = yaml.safe_load(taod("model", "spec", "default", model, "train"))
    spec["train"]["train_config"]["runner"]["max_epochs"] = 7
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(spec))
    taod("model", "spec", "set", model, "train", "train.yaml")
    train, evaluate = taod("model", "run", model, "train", "evaluate", "-q").split()
    assert "done" in taod("job", "wait", train, evaluate[:13])
    shown = json.loads(taod("job", "show", train, "--json"))
    assert shown["spec"]["train"]["train_config"]["runner"]["max_epochs"] == 7
    assert shown["children"] == [evaluate]
    assert taod("job", "log", train) == "starting train"
    assert "starting evaluate" in taod("job", "log", evaluate, "--follow")
    taod("job", "download", train)
    with tarfile.open(tmp_path / f"{train}.tar.gz") as packed:
        assert f"{train}/train/epoch_1.pth" in packed.getnames()
    taod("job", "rm", "--yes", evaluate, train)
    assert taod("model", "rm", "--yes", model, "-q") == model
    assert taod("dataset", "rm", "--yes", "life", "-q") == data
    assert f"model {model} not found" in daemon.error("model", "show", model)


def test_run_with_follow_shows_the_chain_and_exits_0(daemon) -> None:
    result = daemon.run("model", "run", daemon.model(name="followed"), "train", "evaluate", "--follow")
    assert [line.split()[0] for line in result.stdout.splitlines()[:2]] == ["train", "evaluate"]
    assert "train: done." in result.stdout
    assert "evaluate: done." in result.stdout


def test_a_failed_run_exits_1_with_its_reason(daemon) -> None:
    result = daemon.run("model", "run", daemon.model("fail"), "train", "evaluate", "-f", code=1)
    assert "CUDA out of memory [GPU 0]" in result.stdout, "brackets are not markup"
    assert "evaluate: failed. Failed because its parent train" in result.stdout
    assert "taod job log" in result.stdout


def test_with_json_progress_goes_to_standard_error(daemon) -> None:
    result = daemon.run("model", "run", daemon.model(), "train", "--follow", "--json")
    (train,) = json.loads(result.stdout)
    assert "train: done." in result.stderr
    followed = daemon.run("job", "follow", train, "--json")
    assert json.loads(followed.stdout)["state"] == "done"


def test_wait_exits_1_when_one_of_the_jobs_failed(daemon) -> None:
    good = daemon.id("model", "run", daemon.model(), "train")
    bad = daemon.id("model", "run", daemon.model("fail"), "train")
    assert daemon.run("job", "wait", good).exit_code == 0
    views = daemon.run("job", "wait", good, bad, "--json", code=1).stdout
    decoder, states = json.JSONDecoder(), []
    while views.strip():
        view, end = decoder.raw_decode(views.lstrip())
        states.append(view["state"])
        views = views.lstrip()[end:]
    assert states == ["done", "failed"]


def test_wait_ends_at_its_timeout(daemon) -> None:
    train = daemon.id("model", "run", daemon.model("wait"), "train")
    assert f"train {train} is still" in daemon.error("job", "wait", train, "--timeout", "0.1")
    daemon.run("job", "cancel", train)
    assert "cancelled. Cancelled by user" in daemon.run("job", "wait", train, code=1).stdout


def test_queued_jobs_are_held_released_and_ranked_and_their_spec_is_changed(daemon, tmp_path: Path) -> None:
    model = daemon.model("wait", name="queue")
    first, second = (daemon.id("model", "run", model, "train") for _ in range(2))
    assert daemon.json("job", "hold", second)["state"] == "held"
    assert "priority -3" in daemon.run("job", "priority", second, "-3").stdout
    spec = yaml.safe_load(daemon.run("job", "spec", second).stdout)
    spec["train"]["train_config"]["optimizer"]["lr"] = 0.125
    (tmp_path / "changed.json").write_text(json.dumps(spec))
    daemon.run("job", "spec", second, str(tmp_path / "changed.json"))
    assert daemon.json("job", "spec", second)["train"]["train_config"]["optimizer"]["lr"] == 0.125
    assert daemon.json("job", "release", second)["state"] in ("waiting", "queued")
    pending = daemon.json("job", "ls", "--state", "queued", "--state", "waiting", "--text", "queue")
    assert [job["id"] for job in pending] == [second]
    assert "not ended: cancelled first" in daemon.error("model", "rm", model, stdin="n\n")
    daemon.open_gate()
    daemon.open_gate()
    daemon.run("job", "wait", first, second)


def test_the_queue_is_paused_listed_reordered_and_resumed(daemon) -> None:
    model = daemon.model(name="line")
    assert "The queue is paused by" in daemon.run("queue", "pause", "new", "driver").stdout
    first, second, third = (daemon.id("model", "run", model, "train") for _ in range(3))
    assert [job["id"] for job in daemon.json("queue", "ls")] == [first, second, third]
    assert "position 1." in daemon.run("job", "move", third, "--front").stdout
    daemon.run("job", "move", first, "--after", second)
    assert daemon.run("queue", "ls", "--quiet").stdout.split() == [third, second, first]
    assert "one of --front" in daemon.error("job", "move", third, "--front", "--before", first, code=2)
    daemon.run("job", "priority", third, "1")
    assert "send priority = 0 with it" in daemon.error("job", "move", third, "--before", first)
    assert "priority = 101" in daemon.error("job", "priority", third, "101")
    status = daemon.run("queue", "status").stdout
    assert "new driver" in status and "3 queued" in status
    assert daemon.run("queue", "status", "--quiet").stdout == "paused\n"
    assert daemon.json("queue", "resume")["paused"] is False
    daemon.run("job", "wait", first, second, third)


def test_a_training_is_paused_and_resumed(daemon) -> None:
    train = daemon.id("model", "run", daemon.model("wait"), "train")
    assert daemon.first_output(train) == "starting train\n"
    daemon.run("job", "pause", train)
    assert daemon.run("job", "log", train, "--follow").stdout == "starting train\nstopped\n"
    assert daemon.json("job", "show", train)["job"]["state"] == "paused"
    assert "starting train\nstopped\n" in daemon.run("job", "log", train, "--follow").stdout
    daemon.run("job", "resume", train)
    daemon.open_gate()
    assert "done" in daemon.run("job", "wait", train).stdout
