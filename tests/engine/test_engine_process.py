"""The engine as a process of its own: the chain on real digits, and signals in the middle of an epoch."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.packed import run_packed
from tests.patience import PATIENCE_S

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.engine, pytest.mark.slow]

FOLDER = Path(__file__).resolve().parents[2]


def start(action: str, spec: Path, results: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "runners.engine", "classification_pyt", action]
    argv += [f"--experiment_spec_file={spec}", f"--results_dir={results}", "--key=tlt_encode"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(FOLDER), environment.get("PYTHONPATH", "")])
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(run: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and log."""
    log, _ = run.communicate(timeout=PATIENCE_S)
    return run.returncode, log


def statuses(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (results / "status.json").read_text().splitlines()]


def last_kpi(results: Path) -> dict[str, float]:
    return next(line["kpi"] for line in reversed(statuses(results)) if "kpi" in line)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """500 of scikit-learn's handwritten digits as 16x16 images, in the layout of format classification_pyt."""
    image = pytest.importorskip("PIL.Image")
    found = pytest.importorskip("sklearn.datasets").load_digits()
    order = pytest.importorskip("numpy").random.default_rng(0).permutation(len(found.target))  # writers come in runs
    for place, index in enumerate(order[:500]):
        split = "train" if place < 360 else "val" if place < 460 else "test"
        folder = tmp_path / split / f"images_{split}" / ("" if split == "test" else str(found.target[index]))
        folder.mkdir(parents=True, exist_ok=True)
        img = image.fromarray((found.images[index] * 15.9).astype("uint8"))
        img.resize((16, 16), image.Resampling.BICUBIC).save(folder / f"{index:04d}.png")
        (tmp_path / split / "classes.txt").write_text("\n".join(map(str, range(10))))
    return tmp_path


def test_train_evaluate_export_inference_on_digits(digits: Path) -> None:
    spec, train, export = digits / "spec.yaml", digits / "job1", digits / "job3"
    sources = {
        split: {"data_prefix": f"{digits}/{split}/images_{split}", "classes": f"{digits}/{split}/classes.txt"}
        for split in ("train", "val", "test")
    }
    sources["train"]["pipeline"] = [{"type": "RandomCrop", "size": 16, "padding": 1}]  # type: ignore[assignment]
    document: dict[str, Any] = {
        "dataset": {"data": {**sources, "samples_per_gpu": 12}},
        "model": {"backbone": {"type": "resnet_tiny"}, "head": {"num_classes": 20}},
        "train": {"train_config": {"runner": {"max_epochs": 6}, "optimizer": {"type": "AdamW", "lr": 2e-3}}},
        "evaluate": {"checkpoint": str(train / "train" / "epoch_6.pth")},
        "export": {"checkpoint": str(train / "train" / "epoch_6.pth"), "onnx_file": str(export / "model.onnx")},
        "inference": {"checkpoint": str(export / "model.onnx")},
    }
    spec.write_text(yaml.safe_dump(document))

    for number, action in enumerate(("train", "evaluate", "export", "inference"), 1):
        code, log = finish(start(action, spec, digits / f"job{number}"))
        assert code == 0, log
        assert statuses(digits / f"job{number}")[-1]["status"] == "SUCCESS"
    document["evaluate"]["checkpoint"] = str(export / "model.onnx")
    spec.write_text(yaml.safe_dump(document))
    assert finish(start("evaluate", spec, digits / "job5"))[0] == 0

    trained, evaluated, exported = (last_kpi(digits / f"job{number}") for number in (1, 2, 5))
    assert trained["accuracy_top-1"] >= 0.9
    assert evaluated["accuracy_top-1"] == trained["accuracy_top-1"]
    assert evaluated["accuracy_top-5"] >= evaluated["accuracy_top-1"]
    assert exported["accuracy_top-1"] == evaluated["accuracy_top-1"]
    assert exported["loss"] == pytest.approx(evaluated["loss"], abs=1e-4)
    truth = pytest.importorskip("sklearn.datasets").load_digits().target
    rows = list(csv.DictReader((digits / "job4" / "result.csv").open()))
    right = sum(row["class"] == str(truth[int(Path(row["path"]).stem)]) for row in rows)
    assert len(rows) == 40
    assert right / len(rows) >= 0.85
    lines = run_packed(export / "model.onnx", [Path(row["path"]) for row in rows], digits / "packed")
    best = [line.split(": ")[1].split(" ")[:2] for line in lines]
    assert [name for name, _ in best] == [row["class"] for row in rows]
    shares = [float(row["confidence"]) for row in rows]
    assert [float(share.rstrip(",")) for _, share in best] == pytest.approx(shares, abs=1e-3)


def test_sigterm_in_mid_epoch_then_resume_equals_an_uninterrupted_run(bench: Any) -> None:
    """With stochastic depth, whose random state must be restored, and data workers in the interrupted run only."""
    bench.images("train", 40)
    bench.images("val", 4)
    backbone = {"hidden_sizes": [16, 32], "depths": [2, 2], "drop_path_rate": 0.3}
    document = bench.spec(
        model__backbone={"type": "convnext_atto", "custom_args": backbone},
        train__train_config__runner__max_epochs=3,
        train__train_config__logging={"interval": 1},
        dataset__data__samples_per_gpu=2,
    )
    whole = start("train", bench.write(document), bench.root / "whole")
    assert finish(whole)[0] == 0
    document["dataset"]["data"]["workers_per_gpu"] = 2
    results = bench.root / "halted"

    run = start("train", bench.write(document), results)
    assert run.stdout is not None
    for line in run.stdout:
        if re.search(r"epoch 2/3  step", line):
            run.send_signal(signal.SIGTERM)
            break
    code, log = finish(run)

    assert code == 143, log
    assert not re.search("Traceback", log)
    halted = re.fullmatch(
        r"Stopped at epoch 2, step (\d+) of 60; the state is saved in train/interrupted.ckpt",
        statuses(results)[-1]["message"],
    )
    assert halted is not None
    assert 0 < int(halted[1]) < 60
    assert {path.name for path in (results / "train").iterdir()} == {"epoch_1.pth", "interrupted.ckpt"}

    document["train"]["train_config"]["resume_training_checkpoint_path"] = str(results / "train" / "epoch_1.pth")
    code, log = finish(start("train", bench.write(document), results))

    assert code == 0, log
    assert f"Going on at epoch 2, step {halted[1]}" in log
    assert {path.name for path in (results / "train").iterdir()} == {f"epoch_{n}.pth" for n in (1, 2, 3)}
    for epoch in (2, 3):
        one, other = (
            torch.load(folder / "train" / f"epoch_{epoch}.pth", weights_only=True)
            for folder in (bench.root / "whole", results)
        )
        assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
        for index, moments in one["optimizer"]["state"].items():
            assert all(torch.equal(moments[name], other["optimizer"]["state"][index][name]) for name in moments)
        assert torch.equal(one["rng"]["torch"], other["rng"]["torch"])
    losses = [
        [line["kpi"]["train_loss"] for line in statuses(folder) if "kpi" in line]
        for folder in (bench.root / "whole", results)
    ]
    assert losses[0] == losses[1]


def test_sigterm_before_anything_was_loaded_ends_the_process(colours: Any) -> None:
    results = colours.root / "out"
    os.mkfifo(colours.root / "pipe.yaml")
    run = start("train", colours.root / "pipe.yaml", results)
    with (colours.root / "pipe.yaml").open("w"):  # opens once the run reads its spec
        run.send_signal(signal.SIGTERM)
        code, _ = finish(run)

    assert code == -signal.SIGTERM


def test_status_reports_the_start_before_torch_is_imported(colours: Any) -> None:
    code = (
        "import sys; from runners.engine import run, status;"
        "status.StatusWriter.started = lambda self, message: print(message, 'torch' in sys.modules) or sys.exit(0);"
        f"run.main(['classification_pyt', 'train', '-e', {str(colours.write(colours.spec()))!r}, '-r', 'unused'])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=colours.root,
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
    )
    assert found.stdout == "Starting classification_pyt train False\n"
