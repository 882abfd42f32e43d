"""Requirements of NVIDIA's PyTorch tools of release 5.0 on command lines and specification files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index, network_file

WITHOUT_KEY = {"classification_pyt", "mal", "ml_recog", "ocdnet", "segformer"}
PYTORCH = sorted(name for name, entry in index().items() if entry.image == "tlt-pytorch")


def made(folder: Path, network: str, action: str, **more: Any) -> Assembled:
    facts = {"spec": merge.default(network, action), "key": "k3y", **more}
    return assemble(JobFacts(network=network, action=action, folder=folder, results=folder / "results", **facts))


def written(assembled: Assembled) -> dict[str, Any]:
    assert assembled.spec_text is not None
    loaded: dict[str, Any] = yaml.safe_load(assembled.spec_text)
    return loaded


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
    return root


@pytest.mark.parametrize("network", PYTORCH)
def test_the_key_is_in_the_specification_and_not_on_the_command_line(tmp_path: Path, network: str) -> None:
    job = made(tmp_path, network, "train")
    assert not any("k3y" in word for word in job.argv)
    name = {"pointpillars": "key"}.get(network, "encryption_key")
    assert written(job).get(name) == (None if network in WITHOUT_KEY - {"segformer"} else "k3y")


@pytest.mark.parametrize("network", PYTORCH)
def test_a_training_passes_its_results_folder_where_the_tool_accepts_it(tmp_path: Path, network: str) -> None:
    argv = made(tmp_path, network, "train").argv
    assert (f"--results_dir={tmp_path}/results/" in argv) == (network != "ocrnet")


def test_ocrnet_takes_its_results_folder_from_the_specification(tmp_path: Path) -> None:
    assert written(made(tmp_path, "ocrnet", "train"))["results_dir"] == f"{tmp_path}/results/"


def converted(tmp_path: Path, network: str, *parts: str) -> Assembled:
    own = DatasetFacts(folders(tmp_path / "data", *parts), network, "default")
    return made(tmp_path, network, "dataset_convert", key="", own=own)


def test_ocrnet_converts_the_part_that_the_dataset_has(tmp_path: Path) -> None:
    job = converted(tmp_path, "ocrnet", "test")
    assert written(job)["dataset_convert"]["results_dir"] == f"{tmp_path}/data/test/lmdb"
    assert (job.then, job.status_folder) == ([], tmp_path / "data/test/lmdb")


def test_ocrnet_converts_train_and_then_test(tmp_path: Path) -> None:
    job = converted(tmp_path, "ocrnet", "train", "test")
    assert written(job)["dataset_convert"]["results_dir"] == f"{tmp_path}/data/train/lmdb"
    assert job.then == [
        [
            *job.argv,
            f"dataset_convert.input_img_dir={tmp_path}/data/test",
            f"dataset_convert.gt_file={tmp_path}/data/test/gt_new.txt",
            f"dataset_convert.results_dir={tmp_path}/data/test/lmdb",
        ]
    ]
    assert job.status_folder == tmp_path / "data/test/lmdb"


def test_pose_classification_reports_its_conversion_in_the_dataset(tmp_path: Path) -> None:
    assert converted(tmp_path, "pose_classification", "nvidia").status_folder == tmp_path / "data/dataset_convert"


@pytest.mark.parametrize("network", PYTORCH)
def test_a_job_reports_below_its_results_unless_the_catalogue_says_otherwise(tmp_path: Path, network: str) -> None:
    assert made(tmp_path, network, "train").status_folder is None
    assert set(network_file(network).status) <= set(index()[network].actions)


@pytest.mark.parametrize(
    ("layout", "chosen"),
    [
        (("test/run/run_0/rgb", "test/walk/walk_0/rgb"), "test/run"),
        (("test/v0/rgb", "test/v1/rgb"), "test"),
        ((), "test"),
    ],
    ids=["classes", "videos", "empty"],
)
def test_action_recognition_infers_from_a_folder_of_videos(
    tmp_path: Path, layout: tuple[str, ...], chosen: str
) -> None:
    data = DatasetFacts(folders(tmp_path / "data", *layout), "action_recognition", "default")
    spec = written(made(tmp_path, "action_recognition", "inference", inference=data))
    assert spec["inference"]["inference_dataset_dir"] == f"{tmp_path}/data/{chosen}"


def trained(folder: Path, network: str, spec: dict[str, Any]) -> ParentFacts:
    return ParentFacts(network, "train", folder / "train" / "results", spec)


@pytest.mark.parametrize("action", ["prune", "evaluate", "inference", "export"])
def test_ocdnet_builds_the_trained_model_in_every_later_action(tmp_path: Path, action: str) -> None:
    parent = trained(tmp_path, "ocdnet", {"model": {"inner_channels": 32, "load_pruned_graph": False}})
    model = written(made(tmp_path, "ocdnet", action, parent=parent))["model"]
    assert (model["inner_channels"], model["load_pruned_graph"]) == (32, False)


@pytest.mark.parametrize("action", ["prune", "retrain"])
def test_ocrnet_keeps_the_trained_architecture_when_it_is_pruned_and_retrained(tmp_path: Path, action: str) -> None:
    train = trained(tmp_path, "ocrnet", {"model": {"prediction": "Attn"}, "train": {"num_epochs": 7}})
    pruned = ParentFacts("ocrnet", "prune", tmp_path / "prune" / "results", {}, train)
    spec = written(made(tmp_path, "ocrnet", action, parent=train if action == "prune" else pruned))
    assert spec["model"]["prediction"] == "Attn"
    assert spec.get("train", {}).get("num_epochs") != 7
