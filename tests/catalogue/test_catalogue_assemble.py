"""Command line and specification file from a job's facts, for the main network in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.commands.resources import devices_wanted
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index
from taod.errors import BadRequest

NETWORK = "classification_pyt"
PIPELINE = [{"type": "Resize", "size": 32}]
TRAIN_SPEC = {
    "model": {
        "backbone": {"type": "resnet_small", "custom_args": {"depths": [1, 1]}},
        "head": {"type": "LinearClsHead"},
    },
    "dataset": {"data": {"train": {"pipeline": PIPELINE}, "samples_per_gpu": 64}},
    "train": {"train_config": {"runner": {"max_epochs": 3}, "checkpoint_config": {"interval": 1}}},
}


def dataset(root: Path, *, folder: str, classes: bool = True) -> DatasetFacts:
    (root / folder).mkdir(parents=True)
    if classes:
        (root / "classes.txt").write_text("zero\none\ntwo\n")
    return DatasetFacts(root=root, type="image_classification", format="classification_pyt")


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, DatasetFacts]:
    return {
        "train": dataset(tmp_path / "T", folder="images_train"),
        "eval": dataset(tmp_path / "E", folder="images_val"),
        "inference": dataset(tmp_path / "I", folder="images_test", classes=False),
    }


def job(tmp_path: Path, action: str, sets: dict[str, DatasetFacts], name: str | None = None, **facts: Any) -> JobFacts:
    folder = tmp_path / "jobs" / (name or action)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    given = {"network": NETWORK, "spec": None, "key": "tlt_encode", **facts}
    return JobFacts(
        action=action,
        folder=folder,
        results=folder / "results",
        train=[sets["train"]] if "train" in sets else [],
        eval=sets.get("eval"),
        inference=sets.get("inference"),
        **given,
    )


def parent(facts: JobFacts, above: ParentFacts | None = None) -> ParentFacts:
    return ParentFacts(facts.network, facts.action, facts.results, facts.spec, above)


def read(made: Assembled) -> dict[str, Any]:
    assert made.spec_text is not None
    loaded: dict[str, Any] = yaml.safe_load(made.spec_text)
    return loaded


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def test_train(tmp_path: Path, sets: dict[str, DatasetFacts]) -> None:
    facts = job(tmp_path, "train", sets, spec={**TRAIN_SPEC, "version": "1", "own_key": {"seed": 1, "unset": None}})
    made = assemble(facts)
    assert made.argv == [
        "classification_pyt",
        "train",
        f"--experiment_spec_file={facts.folder}/spec.yaml",
        "--gpus=1",
        f"--results_dir={facts.results}/",
    ]
    assert made.image == "tlt-pytorch"
    assert made.spec_path == facts.folder / "spec.yaml"
    assert made.reads == [tmp_path / "T", tmp_path / "E", tmp_path / "I"]
    spec = read(made)
    assert spec["results_dir"] == f"{facts.results}/"
    assert spec["dataset"]["data"] == {
        "samples_per_gpu": 64,
        "train": {
            "pipeline": PIPELINE,
            "data_prefix": str(tmp_path / "T/images_train"),
            "classes": str(tmp_path / "T/classes.txt"),
        },
        "val": {"data_prefix": str(tmp_path / "E/images_val"), "classes": str(tmp_path / "E/classes.txt")},
        "test": {"data_prefix": str(tmp_path / "I/images_test"), "classes": str(tmp_path / "T/classes.txt")},
    }
    assert spec["model"]["head"]["num_classes"] == 3
    assert "checkpoint" not in spec["model"]["init_cfg"]
    assert spec["train"]["num_gpus"] == 1
    assert spec["own_key"] == {"seed": 1}
    assert "resume_training_checkpoint_path" not in spec["train"]["train_config"]
    assert "custom_hooks" not in spec["train"]["train_config"]
    assert not {"version", "gpus"} & set(spec)


def test_a_training_resumes_from_its_last_checkpoint(tmp_path: Path, sets: dict[str, DatasetFacts]) -> None:
    facts = job(tmp_path, "train", sets, ptms=[touch(tmp_path / "ptm" / "start.pth").parent])
    assert read(assemble(facts))["model"]["init_cfg"]["checkpoint"] == str(tmp_path / "ptm/start.pth")
    touch(facts.results / "train" / "epoch_9.pth")
    last = touch(facts.results / "train" / "epoch_10.pth")
    touch(facts.results / "train" / "epoch_11.pth.tmp")
    touch(facts.results / "train" / ".epoch_12.pth")
    spec = read(assemble(facts))
    assert spec["train"]["train_config"]["resume_training_checkpoint_path"] == str(last)


@pytest.fixture
def trained(tmp_path: Path, sets: dict[str, DatasetFacts]) -> ParentFacts:
    facts = job(tmp_path, "train", sets, spec=TRAIN_SPEC)
    touch(facts.results / "train" / "epoch_3.pth")
    return parent(facts)


def test_an_evaluation_inherits_the_model_group_of_its_training(
    tmp_path: Path, sets: dict[str, DatasetFacts], trained: ParentFacts
) -> None:
    own = merge.merge(merge.default(NETWORK, "evaluate"), {"evaluate": {"batch_size": 7}})
    facts = job(tmp_path, "evaluate", sets, spec=own, parent=trained)
    made = assemble(facts)
    assert made.argv == [
        "classification_pyt",
        "evaluate",
        f"--experiment_spec_file={facts.folder}/spec.yaml",
        f"--results_dir={facts.results}/",
    ]
    spec = read(made)
    assert spec["evaluate"] == {"batch_size": 7, "checkpoint": str(trained.results / "train/epoch_3.pth")}
    assert spec["model"]["backbone"] == {
        "type": "resnet_small",
        "custom_args": {"drop_path_rate": 0.1, "depths": [1, 1]},
    }
    assert spec["model"]["head"]["type"] == "LinearClsHead"
    assert spec["model"]["head"]["num_classes"] == 3
    assert spec["dataset"]["data"]["train"]["pipeline"] == PIPELINE
    assert spec["dataset"]["data"]["samples_per_gpu"] == 64
    for part in ("val", "test"):
        assert spec["dataset"]["data"][part]["data_prefix"] == str(tmp_path / "E/images_val")
    assert "train" not in spec
    assert trained.results in made.reads


def test_values_set_for_the_evaluation_stay(
    tmp_path: Path, sets: dict[str, DatasetFacts], trained: ParentFacts
) -> None:
    own = {"model": {"head": {"num_classes": 12}}, "dataset": {"data": {"samples_per_gpu": 2}}}
    spec = read(assemble(job(tmp_path, "evaluate", sets, spec=own, parent=trained)))
    assert spec["model"]["head"]["num_classes"] == 12
    assert spec["model"]["backbone"]["type"] == "resnet_small"
    assert spec["dataset"]["data"]["samples_per_gpu"] == 2


def test_export(tmp_path: Path, sets: dict[str, DatasetFacts], trained: ParentFacts) -> None:
    facts = job(tmp_path, "export", sets, spec={"export": {"input_width": 32, "input_height": 32}}, parent=trained)
    made = assemble(facts)
    assert made.argv[:2] == ["classification_pyt", "export"]
    assert read(made)["export"] == {
        "input_width": 32,
        "input_height": 32,
        "input_channel": 3,
        "verify": False,
        "checkpoint": str(trained.results / "train/epoch_3.pth"),
        "onnx_file": str(facts.results / "model.onnx"),
    }


def test_an_export_in_int8_has_its_images_beside_the_tools_own_command_line(tmp_path: Path) -> None:
    """The tool of release 5 has no such options: taod's engine has."""
    images = dataset(tmp_path / "C", folder="images", classes=False)
    train = job(tmp_path, "train", {}, network="ssd")
    given = {"network": "ssd", "parent": parent(train), "calibration": images}
    plain = assemble(job(tmp_path, "export", {}, **given))
    made = assemble(job(tmp_path, "export", {}, spec={"data_type": "int8", "batches": 3}, **given))
    assert plain.further == {}
    assert made.further == {"data_type": "int8", "batches": 3, "cal_image_dir": f"{tmp_path}/C/images/"}
    assert made.argv == plain.argv
    chosen = assemble(job(tmp_path, "export", {}, spec={"data_type": "int8", "cal_image_dir": "/i"}, **given))
    assert chosen.further == {"data_type": "int8", "cal_image_dir": "/i"}


def test_an_inference_after_an_export_uses_the_exported_weights(
    tmp_path: Path, sets: dict[str, DatasetFacts], trained: ParentFacts
) -> None:
    export = job(tmp_path, "export", sets, parent=trained)
    touch(export.results / "model.onnx")
    facts = job(tmp_path, "inference", sets, parent=parent(export, trained))
    spec = read(assemble(facts))
    assert spec["inference"] == {"batch_size": 1, "checkpoint": str(trained.results / "train/epoch_3.pth")}
    assert spec["model"]["backbone"]["type"] == "resnet_small"
    assert spec["dataset"]["data"]["test"]["data_prefix"] == str(tmp_path / "I/images_test")


def test_an_inference_with_an_engine_uses_the_deploy_tools(
    tmp_path: Path, sets: dict[str, DatasetFacts], trained: ParentFacts
) -> None:
    export = job(tmp_path, "export", sets, parent=trained)
    touch(export.results / "model.onnx")
    engine = job(tmp_path, "gen_trt_engine", sets, parent=parent(export, trained))
    built = assemble(engine)
    assert built.image == "tao-deploy"
    assert read(built)["gen_trt_engine"]["onnx_file"] == str(export.results / "model.onnx")
    touch(engine.results / "model.engine")
    made = assemble(job(tmp_path, "inference", sets, parent=parent(engine, parent(export, trained))))
    assert made.image == "tao-deploy"
    assert read(made)["inference"] == {"batch_size": 1, "trt_engine": str(engine.results / "model.engine")}


def test_a_dataset_with_an_images_folder_of_another_name(tmp_path: Path) -> None:
    only = {"train": dataset(tmp_path / "T", folder="images")}
    spec = read(assemble(job(tmp_path, "train", only)))
    assert spec["dataset"]["data"]["train"]["data_prefix"] == str(tmp_path / "T/images")
    assert "val" not in spec["dataset"]["data"]


def test_several_train_sets_are_rejected(tmp_path: Path, sets: dict[str, DatasetFacts]) -> None:
    facts = job(tmp_path, "train", sets)
    with pytest.raises(BadRequest, match="reads one train dataset, and the model has 2"):
        assemble(
            JobFacts(**{f: getattr(facts, f) for f in facts.__struct_fields__ if f != "train"}, train=facts.train * 2)
        )


def test_gpus(tmp_path: Path, sets: dict[str, DatasetFacts]) -> None:
    spec = {"gpus": 2, "train": {"num_gpus": 2, "gpu_ids": [4, 7]}}
    assert devices_wanted(NETWORK, "train", spec) == 2
    assert devices_wanted(NETWORK, "train", {}) == devices_wanted(NETWORK, "train", None) == 1
    assert devices_wanted(NETWORK, "evaluate", spec) == 1
    leased = assemble(job(tmp_path, "train", sets, spec=spec, gpus=2))
    assert "--gpus=2" in leased.argv
    assert read(leased)["train"] | {"train_config": 0} == {"num_gpus": 2, "gpu_ids": [0, 1], "train_config": 0}
    on_cpu = assemble(job(tmp_path, "train", sets, spec=spec, gpus=0))
    assert "--gpus=1" in on_cpu.argv
    assert read(on_cpu)["train"]["gpu_ids"] == [0]


@pytest.mark.parametrize(
    ("name", "action"), [(n, a) for n, entry in index().items() for a in entry.actions], ids=lambda value: value
)
def test_every_action_of_every_network_can_be_assembled(
    tmp_path: Path, sets: dict[str, DatasetFacts], name: str, action: str
) -> None:
    above = job(tmp_path, "train", sets, name="above", network=name)
    touch(above.results / "model.tlt")
    trained = parent(above) if "train" in index()[name].actions else None
    facts = job(tmp_path, action, sets, network=name, parent=trained, calibration=sets["train"], own=sets["train"])
    made = assemble(facts)
    assert made.argv[0] in {name, "trtexec", "augment"} or index()[name].kind == "dataset"
    assert not any("None" in word for word in made.argv)
    assert (made.spec_path is None) == (made.spec_text is None)
    if made.spec_text is not None and made.spec_path is not None and made.spec_path.suffix == ".yaml":
        assert "null" not in made.spec_text.split()
        yaml.safe_load(made.spec_text)


@pytest.mark.parametrize(
    ("network", "action", "checkpoint"),
    [
        ("dino", "train", "dino_model_epoch=004.pth"),
        ("deformable_detr", "train", "dd_model_epoch=004.pth"),
        ("segformer", "train", "iter_4000.pth"),
        ("pointpillars", "retrain", "checkpoint_epoch_4.tlt"),
        ("ocdnet", "retrain", "ocd_model_epoch=004.pth"),
    ],
)
def test_a_resumed_training_fills_the_resume_field_of_its_tool(
    tmp_path: Path, network: str, action: str, checkpoint: str
) -> None:
    facts = job(tmp_path, action, {}, network=network)
    field = "train.resume_training_checkpoint_path"
    assert merge.get(yaml.safe_load(assemble(facts).spec_text or ""), field) is None
    (facts.results / checkpoint).write_bytes(b"weights")
    assert merge.get(yaml.safe_load(assemble(facts).spec_text or ""), field) == str(facts.results / checkpoint)


def test_prune_options_go_to_the_command_line(tmp_path: Path) -> None:
    trained = ParentFacts("detectnet_v2", "train", tmp_path / "train/results")
    touch(trained.results / "weights/model.epoch-3.hdf5")
    facts = job(tmp_path, "prune", {}, network="detectnet_v2", spec={"pruning_threshold": 0.35}, parent=trained)
    assert "--pruning_threshold=0.35" in assemble(facts).argv


def test_a_retraining_has_the_model_and_the_classes_of_its_training(tmp_path: Path) -> None:
    """A pruned model fits no other; an evaluation counts as the training does."""
    entries = [{"key": "car", "value": {}, "postprocessing_config": {"clustering_config": {"dbscan_eps": 0.4}}}]
    detector = {"model_config": {"num_layers": 10}, "classwise_config": entries, "training_config": {"num_epochs": 7}}
    classifier = {"model": {"backbone": "resnet_10"}, "train": {"num_epochs": 7}}
    for network, spec in (("detectnet_v2", detector), ("classification_tf2", classifier)):
        trained = ParentFacts(network, "train", tmp_path / network / "train/results", spec=spec)
        pruned = ParentFacts(network, "prune", tmp_path / network / "prune/results", parent=trained)
        touch(pruned.results / "model.pth")
        text = assemble(job(tmp_path, "retrain", {}, network=network, parent=pruned)).spec_text or ""
        assert "num_epochs: 7" not in text, text
        expected = ["num_layers: 10", "dbscan_eps: 0.4"] if network == "detectnet_v2" else ["backbone: resnet_10"]
        assert all(line in text for line in expected), text
        own = {"model_config": {"num_layers": 34}} if network == "detectnet_v2" else {"model": {"backbone": "vgg_16"}}
        text = assemble(job(tmp_path, "retrain", {}, network=network, spec=own, parent=pruned)).spec_text or ""
        assert ("num_layers: 34" in text) or ("backbone: vgg_16" in text), text


def test_an_inference_of_detectnet_names_no_dataset_in_its_spec(tmp_path: Path, sets: dict[str, DatasetFacts]) -> None:
    trained = ParentFacts("detectnet_v2", "train", tmp_path / "train/results")
    touch(trained.results / "weights/model.epoch-3.hdf5")
    facts = job(tmp_path, "inference", sets, network="detectnet_v2", spec={}, parent=trained)
    assert "dataset_config" not in (assemble(facts).spec_text or "")


def test_an_evaluation_of_bpnet_reads_the_nearest_written_spec(tmp_path: Path) -> None:
    """A pruning before the retraining has none of its own."""
    results = {action: tmp_path / action / "results" for action in ("train", "prune", "retrain")}
    trained = ParentFacts("bpnet", "train", results["train"])
    pruned = ParentFacts("bpnet", "prune", results["prune"], parent=trained)
    retrained = ParentFacts("bpnet", "retrain", results["retrain"], parent=pruned)
    of_retrained = job(tmp_path, "evaluate", {}, network="bpnet", parent=retrained)
    assert read(assemble(of_retrained))["train_spec"] == str(tmp_path / "retrain/spec.yaml")


@pytest.mark.parametrize(
    ("network", "action", "spec", "field"),
    [
        ("ocrnet", "evaluate", {"evaluate": {"gpu_id": 3}}, "gpu_id: 0"),
        ("pointpillars", "export", {"export": {"gpu_id": 3}}, "gpu_id: 0"),
        ("dino", "evaluate", {"evaluate": {"num_gpus": 4}}, "num_gpus: 1"),
        ("detectnet_v2", "inference", {"inferencer_config": {"gpu_index": 3}}, "gpu_index: 0"),
    ],
)
def test_a_gpu_number_of_any_action_counts_within_the_lease(
    tmp_path: Path, network: str, action: str, spec: dict[str, Any], field: str
) -> None:
    """The tools pass it to torch.cuda.set_device or TensorFlow's visible_device_list: indices of visible GPUs."""
    text = assemble(job(tmp_path, action, {}, network=network, spec=spec, gpus=1)).spec_text
    assert text is not None and field in text
    assert ": 3" not in text.split(field.partition(":")[0])[1].splitlines()[0]
