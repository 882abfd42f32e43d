"""Two processes that train one model together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.engine

FOLDER = Path(__file__).resolve().parents[2]


def train(spec: Path, results: Path, processes: int) -> dict[str, Any]:
    """The weights of the only epoch."""
    environment = {**os.environ, "TAOD_ENGINE_PROCESSES": str(processes), "OMP_NUM_THREADS": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(FOLDER)}
    argv = [sys.executable, "-m", "runners.engine", "classification_pyt", "train", "-e", str(spec), "-r", str(results)]
    found = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    weights: dict[str, Any] = torch.load(results / "train" / "epoch_1.pth", weights_only=True)["model"]
    return weights


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_batch(bench: Any) -> None:
    """8 images a class make 6 batches of 4; layer norms, since batch norms count over one process on a CPU."""
    bench.images("train", 8)
    bench.images("val", 2)
    small = {"hidden_sizes": [8, 16], "depths": [1, 1], "drop_path_rate": 0.0}
    one, two = (
        bench.spec(
            model__backbone={"type": "convnext_atto", "custom_args": small},
            train__train_config__runner__max_epochs=1,
            train__train_config__optimizer={"type": "SGD", "lr": 0.05},
            dataset__data__samples_per_gpu=batch,
        )
        for batch in (4, 2)
    )

    alone = train(bench.write(one), bench.root / "one", 1)
    together = train(bench.write(two), bench.root / "two", 2)

    assert all(torch.allclose(alone[name], together[name], atol=1e-5) for name in alone)
    reported = [
        next(json.loads(line) for line in (bench.root / name / "status.json").read_text().splitlines() if "kpi" in line)
        for name in ("one", "two")
    ]
    assert reported[0]["kpi"] == pytest.approx(reported[1]["kpi"], abs=1e-4)
