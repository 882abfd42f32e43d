"""Data of the networks for people, motion and point clouds."""

from __future__ import annotations

from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, put_all
from taod.catalogue.schema.merge import drop, get, put

_POSE_FOLDERS = {"openpose": "kinetics", "nvidia": "nvidia"}
_POSE_JOINTS = 10


def action_recognition(spec: Spec, facts: JobFacts) -> None:
    """Only the fields of the chosen model type (rgb, of, joint) stay; the chosen label map becomes `label_map`."""
    train = first(facts)
    if facts.action == "train":
        put_all(
            spec,
            {
                "dataset.train_dataset_dir": at(train, "train"),
                "dataset.val_dataset_dir": at(facts.eval or train, "test"),
            },
        )
    elif facts.action == "evaluate":
        put_all(spec, {"evaluate.test_dataset_dir": at(facts.eval or train, "test")})
    elif facts.action == "inference":
        put_all(spec, {"inference.inference_dataset_dir": _videos(facts.inference or facts.eval or train)})
    model_type = get(spec, "model.model_type", "rgb")
    for other in {"rgb", "of"} - ({"rgb", "of"} if model_type == "joint" else {model_type}):
        for group in ("model", "dataset"):
            _drop_starting(spec, group, f"{other}_")
    chosen = drop(spec, f"dataset.label_map_{get(spec, 'model.input_type', '3d')}")
    _drop_starting(spec, "dataset", "label_map_")
    if chosen is not None:
        put(spec, "dataset.label_map", chosen)


def _videos(dataset: DatasetFacts | None) -> str | None:
    """The folder with the videos of an inference: `test`, else its first class folder."""
    if dataset is None:
        return None
    test = dataset.root / "test"
    children = sorted(path for path in test.iterdir() if path.is_dir()) if test.is_dir() else []
    is_video = any((child / kind).is_dir() for child in children for kind in _FRAMES)
    return str(test if is_video or not children else children[0])


_FRAMES = ("rgb", "u", "v")
"""Folders of a video's frames: images, and the two directions of the optical flow."""


def pose_classification(spec: Spec, facts: JobFacts) -> None:
    layout = get(spec, "model.graph_layout", "openpose")
    folder = _POSE_FOLDERS.get(layout)
    train, validation = first(facts), facts.eval or first(facts)
    if folder is not None and facts.action == "train":
        put_all(
            spec,
            {
                "dataset.train_dataset.data_path": at(train, f"{folder}/train_data.npy"),
                "dataset.train_dataset.label_path": at(train, f"{folder}/train_label.pkl"),
                "dataset.val_dataset.data_path": at(validation, f"{folder}/val_data.npy"),
                "dataset.val_dataset.label_path": at(validation, f"{folder}/val_label.pkl"),
            },
        )
    elif folder is not None and facts.action in ("evaluate", "inference"):
        part = "test_dataset"
        if facts.action == "inference":
            validation = facts.inference or validation
        put_all(spec, {f"{facts.action}.{part}.data_path": at(validation, f"{folder}/val_data.npy")})
        if facts.action == "evaluate":
            put_all(spec, {f"evaluate.{part}.label_path": at(validation, f"{folder}/val_label.pkl")})
    chosen = drop(spec, f"dataset.label_map_{folder}")
    _drop_starting(spec, "dataset", "label_map_")
    if chosen is not None:
        put(spec, "dataset.label_map", chosen)


def re_identification(spec: Spec, facts: JobFacts) -> None:
    train = first(facts)
    if facts.action == "train":
        put_all(
            spec,
            {
                "dataset.train_dataset_dir": at(train, "sample_train"),
                "dataset.test_dataset_dir": at(facts.eval or train, "sample_test"),
                "dataset.query_dataset_dir": at(facts.eval or train, "sample_query"),
            },
        )
    elif facts.action in ("evaluate", "inference"):
        dataset = (facts.inference if facts.action == "inference" else None) or facts.eval or train
        put_all(
            spec,
            {
                f"{facts.action}.test_dataset": at(dataset, "sample_test"),
                f"{facts.action}.query_dataset": at(dataset, "sample_query"),
            },
        )


def pointpillars(spec: Spec, facts: JobFacts) -> None:
    put_all(spec, {"dataset.data_path": at(facts.own or first(facts) or facts.eval)})


def bpnet(spec: Spec, facts: JobFacts) -> None:
    """COCO people: the dataset's own description file, and its folder as the root of all images."""
    dataset = facts.own or first(facts)
    if facts.action == "dataset_convert":
        put_all(spec, {"root_directory_path": at(dataset)})
    elif facts.action in ("train", "retrain"):
        put_all(
            spec,
            {
                "dataloader.dataset_config.root_data_path": _slash(at(dataset)),
                "dataloader.dataset_config.train_records_folder_path": at(dataset),
                "dataloader.dataset_config.val_records_folder_path": at(dataset),
                "dataloader.dataset_config.dataset_specs.coco": at(dataset, "coco_spec.json"),
                "dataloader.pose_config.pose_config_path": at(dataset, "bpnet_18joints.json"),
            },
        )


def fpenet(spec: Spec, facts: JobFacts) -> None:
    """Face landmarks: the set of ten points is a different one from that of 80."""
    dataset = facts.own or first(facts)
    if facts.action not in ("dataset_convert", "train", "evaluate") or dataset is None:
        return
    points = get(spec, "num_keypoints", get(spec, "dataloader.num_keypoints", 80))
    name = "afw_10" if points == _POSE_JOINTS else "afw"
    root = _slash(at(dataset))
    if facts.action == "dataset_convert":
        put_all(spec, {"sets": [name], "gt_root_path": root, "save_root_path": root, "image_root_path": root})
        return
    put_all(
        spec,
        {
            "dataloader.dataset_info.root_path": root,
            "dataloader.dataset_info.tfrecords_directory_path": at(dataset, "data/tfrecords"),
            "dataloader.dataset_info.tfrecords_set_id_train": name,
            "dataloader.dataset_info.tfrecords_set_id_val": name,
            "dataloader.kpiset_info.tfrecords_set_id_kpi": name,
        },
    )


def _slash(folder: str | None) -> str | None:
    return f"{folder}/" if folder is not None else None


def _drop_starting(spec: Spec, group: str, prefix: str) -> None:
    holder = spec.get(group)
    if isinstance(holder, dict):
        for name in [n for n in holder if n.startswith(prefix)]:
            del holder[name]
