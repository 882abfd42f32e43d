"""How every TF1 and TF2 training resumes: from which file, named by which option, counting epochs from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import JobFacts, ParentFacts
from taod.catalogue.network import get_network
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index
from taod.catalogue.specfiles.parse import parse

TENSORFLOW = {
    name for name, entry in index().items() if entry.image in ("tlt-tf1", "tlt-tf2") and entry.kind != "dataset"
}
RUNS = [
    (name, action) for name in sorted(TENSORFLOW) for action in ("train", "retrain") if action in index()[name].actions
]

LEFT = {
    "bpnet": ("model.epoch-7.ckzip", "model.epoch-7.hdf5"),
    "classification_tf1": ("weights/resnet_007.hdf5",),
    "classification_tf2": ("train/resnet10_bn_007.tlt",),
    "detectnet_v2": ("model.epoch-7.ckzip", "model.epoch-7.hdf5"),
    "dssd": ("weights/dssd_resnet18_epoch_007.hdf5",),
    "efficientdet_tf1": ("model.epoch-7.tlt",),
    "efficientdet_tf2": ("train/efficientdet-d0_007.tlt",),
    "faster_rcnn": ("frcnn_kitti_resnet18.epoch_7.hdf5",),
    "fpenet": ("model.epoch-7.ckzip", "model.epoch-7.hdf5"),
    "lprnet": ("weights/lprnet_epoch-007.hdf5",),
    "mask_rcnn": ("model.epoch-7.tlt",),
    "multitask_classification": ("weights/multitask_cls_resnet18_epoch_007.hdf5",),
    "retinanet": ("weights/retinanet_resnet18_epoch_007.hdf5",),
    "ssd": ("weights/ssd_resnet18_epoch_007.hdf5",),
    "unet": ("model.epoch-7.tlt/model.ckpt-7.index",),
    "yolo_v3": ("weights/yolov3_resnet18_epoch_007.hdf5",),
    "yolo_v4": ("weights/yolov4_resnet18_epoch_007.hdf5",),
    "yolo_v4_tiny": ("weights/yolov4_cspdarknet_tiny_epoch_007.hdf5",),
}
"""What each training leaves after epoch 7, by the names that its tool writes."""

ITSELF = {
    "bpnet",
    "classification_tf2",
    "detectnet_v2",
    "efficientdet_tf1",
    "efficientdet_tf2",
    "fpenet",
    "mask_rcnn",
    "unet",
}
"""These search their results folder and continue from its latest checkpoint, epochs included."""
BY_OPTIONS = {"ssd": "resume_model_weights", "dssd": "resume_model_weights", "lprnet": "resume_model_weights"}
"""These take the checkpoint as an option, and count from 1 again unless `--initial_epoch` says the next epoch."""
BY_EPOCH_IN_THE_NAME = {
    "faster_rcnn": ("resume_from_model", {"pretrained_weights", "retrain_pruned_model"}),
    **dict.fromkeys(
        ("multitask_classification", "retinanet", "yolo_v3", "yolo_v4", "yolo_v4_tiny"),
        ("resume_model_path", {"pretrain_model_path", "pruned_model_path"}),
    ),
}
"""These read the epoch from the file name in a field of training_config and reject other weights beside it."""


def facts(tmp_path: Path, name: str, action: str) -> JobFacts:
    start, pruned = tmp_path / "start/weights.hdf5", tmp_path / "pruned/results/model.hdf5"
    for path in (start, pruned):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
    parent = ParentFacts(name, "prune", pruned.parent) if action == "retrain" else None
    return JobFacts(
        network=name,
        action=action,
        folder=tmp_path / "J",
        results=tmp_path / "J/results",
        spec=None,
        key="k",
        ptms=[start],
        parent=parent,
    )


def interrupt(job: JobFacts) -> Path:
    paths = [job.results / name for name in LEFT[job.network]]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
    return paths[-1]


def options(argv: list[str]) -> dict[str, str]:
    return {name.removeprefix("--"): value for name, _, value in (part.partition("=") for part in argv[2:])}


def spec(job: JobFacts) -> dict[str, Any]:
    text = assemble(job).spec_text
    assert text is not None
    return parse(index()[job.network].spec_format, text, job.network, job.action)


def test_every_training_is_listed() -> None:
    assert set(LEFT) == TENSORFLOW
    assert ITSELF | set(BY_OPTIONS) | set(BY_EPOCH_IN_THE_NAME) | {"classification_tf1"} == TENSORFLOW


@pytest.mark.parametrize(("name", "action"), RUNS)
def test_resume_options_match_the_tool(name: str, action: str, tmp_path: Path) -> None:
    job = facts(tmp_path, name, action)
    first, first_spec = assemble(job), spec(job)
    last = str(interrupt(job))
    resumed, resumed_spec = assemble(job), spec(job)
    given = options(resumed.argv)
    if name in ITSELF:
        assert (resumed.argv, resumed.spec_text) == (first.argv, first.spec_text)
    elif name in BY_OPTIONS:
        assert (given[BY_OPTIONS[name]], given["initial_epoch"]) == (last, "8")
        assert options(first.argv).get("initial_epoch") in (None, "1")
    elif name == "classification_tf1":
        assert given["init_epoch"] == "8"
        assert merge.get(resumed_spec, "train_config.pretrained_model_path") == last
        assert options(first.argv).get("init_epoch") in (None, "1")
    else:
        field, others = BY_EPOCH_IN_THE_NAME[name]
        assert merge.get(resumed_spec, f"training_config.{field}") == last
        assert not others & set(resumed_spec["training_config"])
        assert others & set(first_spec["training_config"])


def test_a_users_first_epoch_applies_until_there_is_a_checkpoint(tmp_path: Path) -> None:
    job = facts(tmp_path, "ssd", "train")
    own = JobFacts(**{**{f: getattr(job, f) for f in job.__struct_fields__}, "spec": {"initial_epoch": 4}})
    assert options(assemble(own).argv)["initial_epoch"] == "4"
    interrupt(own)
    assert options(assemble(own).argv)["initial_epoch"] == "8"


COPYING = [
    (name, action)
    for name, entry in sorted(index().items())
    for action in entry.actions
    if "parent_spec_copied" in (get_network(name).file.commands or {}).get(action, {}).values()
]
"""Actions that are given their training's specification as it was written."""


@pytest.mark.parametrize(("name", "action"), COPYING)
def test_a_child_does_not_inherit_the_checkpoint_its_training_resumed_from(
    name: str, action: str, tmp_path: Path
) -> None:
    """Lightning deletes it after the resume; no job but the training reads it."""
    trained = tmp_path / "T"
    (trained / "results").mkdir(parents=True)
    written = merge.default(name, "train")
    merge.put(written, "train.resume_training_checkpoint_path", str(trained / "results/gone_epoch=003.pth"))
    merge.put(written, "model.num_queries", 77)
    (trained / "spec.yaml").write_text(yaml.safe_dump(written))
    (trained / "results/model_epoch=009.pth").write_bytes(b"weights")
    job = JobFacts(
        network=name,
        action=action,
        folder=tmp_path / "J",
        results=tmp_path / "J/results",
        spec=None,
        key="k",
        parent=ParentFacts(name, "train", trained / "results"),
    )
    text = assemble(job).spec_text or ""
    assert "num_queries: 77" in text
    assert "gone" not in text
