"""The request sequences of the published notebooks, in their order and form, on a real `taod serve`.

Bodies are JSON without a Content-Type, paths have the two slashes that the notebooks' base URL makes, and a job is
asked for until its status is Done or Error.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.networks import CONVERSIONS, data_of
from tests.clients.world import Beside, World

PTMS = {
    "detectnet_v2": "pretrained_detectnet_v2:resnet18",
    "classification_pyt": "pretrained_fan_classification_imagenet:fan_hybrid_tiny",
    "classification_tf2": "pretrained_classification_tf2:efficientnet_b0",
    "segformer": "pretrained_segformer_imagenet:fan_hybrid_tiny",
}
"""Network → the end of the ngc_path that its notebook looks for."""
UNPRUNED = frozenset({"segformer", "classification_pyt"})

Change = Callable[[dict[str, Any]], None]


class Notebook:
    """What the cells of a notebook do."""

    def __init__(self, beside: Beside, network: str) -> None:
        self.beside = beside
        self.network = network
        self.data = data_of(network)
        self.model = ""
        self.datasets: list[str] = []

    def dataset(self, format_: str, role: str) -> str:
        """Create, name, upload, and find in the list."""
        made = self.beside.call("POST", "/dataset", {"type": self.data.type, "format": format_}, status=201)["id"]
        named = {"name": f"{role} data", "description": f"My {role} data with {format_}"}
        self.beside.call("PATCH", f"/dataset/{made}", named)
        self.beside.upload(made, self.data.type, format_)
        (listed,) = [entry for entry in self.beside.call("GET", "/dataset") if entry["id"] == made]
        assert {name: listed[name] for name in named} == named
        self.datasets.append(made)
        return str(made)

    def convert(self, dataset_id: str, action: str) -> None:
        at = f"/dataset/{dataset_id}"
        spec = self.beside.call("GET", f"{at}/specs/{action}/schema")["default"]
        self.beside.call("POST", f"{at}/specs/{action}", spec, status=201)
        (job,) = self.beside.call("POST", f"{at}/job", {"job": None, "actions": [action]}, status=201)
        self.poll(f"{at}/job/{job}")

    def create_model(self) -> None:
        body = {"network_arch": self.network, "encryption_key": "tlt_encode"}
        self.model = f"/model/{self.beside.call('POST', '/model', body, status=201)['id']}"

    def find_ptm(self) -> dict[str, Any]:
        """The entry of the model list that the notebook's loop stops at."""
        for entry in self.beside.call("GET", "/model"):
            if entry["network_arch"] == self.network and entry["ngc_path"].endswith(PTMS[self.network]):
                return dict(entry)
        raise AssertionError(f"no PTM {PTMS[self.network]} for {self.network}")

    def spec(self, action: str, change: Change = lambda _: None) -> None:
        """Take the default, change a few fields, save it."""
        spec = self.beside.call("GET", f"{self.model}/specs/{action}/schema")["default"]
        change(spec)
        assert self.beside.call("POST", f"{self.model}/specs/{action}", spec, status=201) == spec

    def run(self, parent: str | None, *actions: str) -> list[str]:
        """Run actions on a parent, and ask until each has ended."""
        jobs: list[str] = self.beside.call("POST", f"{self.model}/job", {"job": parent, "actions": actions}, status=201)
        assert len(jobs) == len(actions)
        for job in jobs:
            self.poll(f"{self.model}/job/{job}")
        return jobs

    def poll(self, path: str) -> None:
        read: dict[str, Any] = {}

        def over() -> bool:
            read.update(self.beside.call("GET", path))
            assert read["status"] in ("Pending", "Running", "Done", "Error")
            return read["status"] in ("Done", "Error")

        self.beside.until(over)
        assert read["status"] == "Done", read

    def download(self, job: str) -> list[str]:
        """What is in a job's archive, which is read as it comes."""
        with self.beside.http.stream("GET", f"{self.model}/job/{job}/download") as answer:
            assert answer.status_code == 200
            content = b"".join(answer.iter_bytes())
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as packed:
            names = packed.getnames()
        assert {name.split("/")[0] for name in names} == {job}
        return names

    def clean_up(self) -> None:
        self.beside.call("DELETE", self.model)
        for dataset in self.datasets:
            self.beside.call("DELETE", f"/dataset/{dataset}")
            self.beside.call("GET", f"/dataset/{dataset}", status=404)


def trained_on_one_gpu(spec: dict[str, Any]) -> None:
    """What the notebooks set for a train, whatever the network's table has."""
    train = spec.setdefault("train", {})
    spec["num_gpus"] = spec["gpus"] = 1
    train["num_gpus"], train["gpu_ids"], train["gpu_id"] = 1, [0], 0
    train["resume_training_checkpoint_path"] = None


def in_half_precision(spec: dict[str, Any]) -> None:
    """Tables write the precision small or large; an edited default keeps its case."""
    for group in (spec, spec.get("gen_trt_engine", {}).get("tensorrt", {})):
        if "data_type" in group:
            group["data_type"] = "fp16" if group["data_type"].islower() else "FP16"


@pytest.mark.parametrize("network", PTMS)
def test_a_notebook_from_the_data_to_the_engine(network: str, world: World, beside: Beside) -> None:
    book = Notebook(beside, network)
    train_set, eval_set = book.dataset(book.data.labelled, "train"), book.dataset(book.data.labelled, "eval")
    inference_set = book.dataset(book.data.inference, "inference")
    if network in CONVERSIONS:
        for dataset in (train_set, eval_set):
            book.convert(dataset, CONVERSIONS[network])

    book.create_model()
    ptm = book.find_ptm()
    assert ("encryption_key" in ptm, ptm["public"], ptm["read_only"]) == (False, True, True)
    assert beside.call("PATCH", book.model, {"ptm": [ptm["id"]]})["ptm"] == [ptm["id"]]
    roles = {"eval_dataset": eval_set, "inference_dataset": inference_set, "calibration_dataset": train_set}
    beside.call("PATCH", book.model, {"train_datasets": [train_set], **roles})

    book.spec("train", trained_on_one_gpu)
    words = beside.rejected("POST", f"{book.model}/job", {"job": None, "actions": ["train"]})
    assert f"ptm '{ptm['ngc_path']}' has no weights on this machine; register them by POST …/ptm" in words
    register(beside, ptm, world.weights)
    (train,) = book.run(None, "train")
    book.spec("evaluate")
    book.run(train, "evaluate")
    if network not in UNPRUNED:
        book.spec("prune")
        book.spec("retrain", trained_on_one_gpu)
        prune, retrain, evaluate = book.run(train, "prune", "retrain", "evaluate")
        parents = {job["id"]: job["parent_id"] for job in beside.call("GET", f"{book.model}/job")}
        assert (parents[prune], parents[retrain], parents[evaluate]) == (train, prune, retrain)
    book.spec("export")
    (export,) = book.run(train, "export")
    book.spec("gen_trt_engine", in_half_precision)
    (engine,) = book.run(export, "gen_trt_engine")
    book.spec("inference")
    book.run(train, "inference")
    book.run(engine, "inference")

    assert any(name.endswith("model.onnx") for name in book.download(export))
    assert beside.call("DELETE", f"{book.model}/job/{engine}")["id"] == engine
    beside.call("GET", f"{book.model}/job/{engine}", status=404)
    book.clean_up()


def register(beside: Beside, ptm: dict[str, Any], folder: Path) -> None:
    """Do what the error asked for."""
    weights = folder / f"{ptm['id']}.hdf5"
    weights.write_bytes(b"weights")
    body = {"path": str(weights), "network_arch": ptm["network_arch"], "ngc_path": ptm["ngc_path"]}
    assert beside.call("POST", "/ptm", body, status=201)["id"] == ptm["id"]


@pytest.mark.parametrize(
    ("network", "algorithm", "metric"),
    [
        ("classification_pyt", "Bayesian", "kpi"),
        ("segformer", "HyperBand", "loss"),
        ("detectnet_v2", "Bayesian", "kpi"),
    ],
)
def test_a_notebook_with_automl(network: str, algorithm: str, metric: str, beside: Beside) -> None:
    book = Notebook(beside, network)
    train_set, eval_set = book.dataset(book.data.labelled, "train"), book.dataset(book.data.labelled, "eval")
    book.create_model()
    beside.call("PATCH", book.model, {"train_datasets": [train_set], "eval_dataset": eval_set})
    swept = beside.call("GET", f"{book.model}/specs/train/schema")["automl_default_parameters"]
    assert swept
    assert all(isinstance(path, str) for path in swept)
    sent = {
        "automl_enabled": True,
        "automl_algorithm": algorithm,
        "metric": metric,
        "epoch_multiplier": 1,
        "automl_add_hyperparameters": "[]",
        "automl_remove_hyperparameters": str(swept[1:2]),
        "automl_max_recommendations": 3,
        "automl_delete_intermediate_ckpt": True,
        "automl_R": 9,
        "automl_nu": 3,
    }
    read = beside.call("PATCH", book.model, sent)
    removed = read.pop("automl_remove_hyperparameters")
    assert isinstance(removed, str)
    assert json.loads(removed) == swept[1:2]
    assert {name: read[name] for name in sent if name in read} == {
        name: value for name, value in sent.items() if name != "automl_remove_hyperparameters"
    }
    book.spec("train", trained_on_one_gpu)
    swept_by(book, algorithm, without=set(swept[1:2]))
    book.clean_up()


def swept_by(book: Notebook, algorithm: str, *, without: set[str]) -> None:
    """Continue as the notebook does: one train is the sweep, its best model is what the next actions work on."""
    call = book.beside.call
    (train,) = book.run(None, "train")
    (listed,) = call("GET", f"{book.model}/job")
    assert listed["id"] == train, "its trials are not among the model's jobs"
    best = {figure["metric"]: figure["value"] for figure in listed["result"]["automl_result"]}
    assert any(stat["metric"] == "Number of epochs trained" for stat in listed["result"]["stats"])
    sweep = call("GET", f"{book.model}/job/{train}/sweep")
    assert len(sweep["trials"]) == (3 if algorithm == "Bayesian" else 12)
    assert (best["best_experiment"], best[f"best_{sweep['metric']}"]) == (sweep["best"], sweep["best_value"])
    assert not {name for trial in sweep["trials"] for name in trial["params"]} & without
    assert any(name.startswith(f"{train}/best_model/") for name in book.download(train))
    book.spec("evaluate")
    (evaluate,) = book.run(train, "evaluate")
    assert call("GET", f"{book.model}/job/{evaluate}")["parent_id"] == train


def test_a_notebook_cancels_resumes_and_deletes(world: World, beside: Beside) -> None:
    book = Notebook(beside, "detectnet_v2")
    train_set, eval_set = book.dataset("kitti", "train"), book.dataset("kitti", "eval")
    book.create_model()
    beside.call("PATCH", book.model, {"train_datasets": [train_set], "eval_dataset": eval_set})
    book.spec("train", trained_on_one_gpu)
    with world.held("detectnet_v2"):
        train, evaluate = beside.call(
            "POST", f"{book.model}/job", {"job": None, "actions": ["train", "evaluate"]}, status=201
        )
        path = f"{book.model}/job/{train}"
        beside.until(lambda: beside.call("GET", path)["result"].get("epoch") == 1)
        assert "cancel it first" in beside.rejected("DELETE", path)
        beside.call("POST", f"{path}/cancel")
        ends = beside.end_of([train, evaluate])
    assert ends[0] == "Error train: Cancelled by user"
    assert ends[1].startswith("Error evaluate")
    assert "already" in beside.rejected("POST", f"{path}/cancel", status=404)
    beside.call("POST", f"{path}/resume")
    book.poll(path)
    log = beside.http.get(f"{path}/log").text
    assert "continues from" in log
    assert beside.call("DELETE", path)["status"] == "Done"
    beside.call("GET", path, status=404)
    book.clean_up()
