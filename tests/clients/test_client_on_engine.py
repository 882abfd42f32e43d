"""The published client trains, evaluates, exports and infers with the embedded engine: images in, weights out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from tests.clients.published import ClientFailed, InOneProcess
from tests.clients.world import Beside, World

pytest.importorskip("tao_cli.tao", reason="the published client is not installed (dependency group test)")
pytestmark = [pytest.mark.slow, pytest.mark.engine]

NETWORK = "classification-pyt"


@pytest.fixture
def engine_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("TAOD_RUNNER_EMBEDDED_THREADS", "1")
    made = World(tmp_path, order=("embedded",))
    made.start()
    yield made
    assert made.stop() == 0


def test_train_evaluate_export_and_infer(engine_world: World, tmp_path: Path) -> None:
    beside, client = Beside(engine_world), InOneProcess(engine_world.environment())
    sample_dataset.write(tmp_path / "digits")
    kind = ("--dataset_type", "image_classification", "--dataset_format", "classification_pyt")
    sets = {}
    for split in ("val", "test"):
        sets[split] = client.run(NETWORK, "dataset-create", *kind)
        with sample_dataset.pack(tmp_path / "digits", split, tmp_path).open("rb") as archive:
            answer = beside.http.post(f"/dataset/{sets[split]}/upload", files={"file": archive})
        assert answer.status_code == 201, answer.text
    model = client.run(NETWORK, "model-create", "--network_arch", "classification_pyt", "--encryption_key", "k")
    roles = {"eval_dataset": sets["test"], "inference_dataset": sets["test"]}
    beside.call("PATCH", f"/model/{model}", {"train_datasets": [sets["val"]], **roles})

    spec = merge(json.loads(client.run(NETWORK, "model-train-defaults", "--id", model)), digits_spec(2))
    beside.call("POST", f"/model/{model}/specs/train", spec, status=201)
    train = client.run(NETWORK, "model-train", "--id", model)
    jobs = [train]
    for action in ("evaluate", "export", "inference"):
        jobs.append(client.run(NETWORK, f"model-{action}", "--id", model, "--job", train))
    # The engine builds no TensorRT engine: said at once, and no job is left behind.
    with pytest.raises(ClientFailed, match="KeyError"):
        client.run(NETWORK, "model-gen-trt-engine", "--id", model, "--job", jobs[2])
    assert [end for end in beside.end_of(jobs) if not end.startswith("Done")] == []

    listed = {job["action"]: job for job in beside.call("GET", f"/model/{model}/job")}
    assert set(listed) == {"train", "evaluate", "export", "inference"}
    result = listed["train"]["result"]
    assert (result["epoch"], result["max_epoch"]) == (2, 2)
    assert "accuracy_top-1" in {kpi["metric"] for kpi in listed["evaluate"]["result"]["kpi"]}
    client.close()
    beside.http.close()
