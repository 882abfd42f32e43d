"""Data of semantic and instance segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from taod import plain_file
from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, put_all
from taod.catalogue.schema.merge import get, put

LABEL_MAP = "label_map.json"
"""File in the job's folder: the categories of the training data, for mask2former and oneformer."""
PANOPTIC = "coco_panoptic"
PANOPTIC_JSON = "annotations_panoptic.json"


def unet(spec: Spec, facts: JobFacts) -> None:
    train = first(facts)
    put_all(
        spec,
        {
            "dataset_config.train_images_path": at(train, "images/train"),
            "dataset_config.train_masks_path": at(train, "masks/train"),
            "dataset_config.val_images_path": at(facts.eval, "images/val"),
            "dataset_config.val_masks_path": at(facts.eval, "masks/val"),
            "dataset_config.test_images_path": at(facts.inference, "images/test"),
        },
    )


def segformer(spec: Spec, facts: JobFacts) -> None:
    """All train sets at once; the eval set is `val_dataset` in training and `test_dataset` else."""
    if facts.train:
        put(spec, "dataset.train_dataset.img_dir", [at(d, "images/train") for d in facts.train])
        put(spec, "dataset.train_dataset.ann_dir", [at(d, "masks/train") for d in facts.train])
    part = "val_dataset" if facts.action == "train" else "test_dataset"
    put_all(
        spec,
        {
            f"dataset.{part}.img_dir": at(facts.eval, "images/val"),
            f"dataset.{part}.ann_dir": at(facts.eval, "masks/val"),
        },
    )


def mal(spec: Spec, facts: JobFacts) -> None:
    train = first(facts)
    put_all(
        spec,
        {
            "dataset.train_img_dir": at(train, "images"),
            "dataset.train_ann_path": at(train, "annotations.json"),
            "dataset.val_img_dir": at(facts.eval, "images"),
            "dataset.val_ann_path": at(facts.eval, "annotations.json"),
        },
    )
    if facts.action == "inference":
        put_all(
            spec,
            {
                "inference.img_dir": at(facts.inference, "images"),
                "inference.ann_path": at(facts.inference, "annotations.json"),
            },
        )


def mask2former(spec: Spec, facts: JobFacts) -> None:
    """COCO instances, or panoptic segments. `test` has the images of an inference, or those of an evaluation."""
    sets = {"train": first(facts), "val": facts.eval, "test": facts.inference or facts.eval}
    for part, dataset in sets.items():
        if dataset is None:
            continue
        panoptic = dataset.format == PANOPTIC
        put_all(
            spec,
            {
                f"dataset.{part}.type": PANOPTIC if panoptic else "coco",
                f"dataset.{part}.img_dir": at(dataset, "images"),
            },
        )
        if part == "test":
            continue
        if panoptic:
            put_all(
                spec,
                {
                    f"dataset.{part}.panoptic_dir": at(dataset, "images_panoptic"),
                    f"dataset.{part}.panoptic_json": at(dataset, PANOPTIC_JSON),
                },
            )
        else:
            put_all(spec, {f"dataset.{part}.instance_json": at(dataset, "annotations.json")})
    if not get(spec, "dataset.label_map"):
        put(spec, "dataset.label_map", str(facts.folder / LABEL_MAP))


def oneformer(spec: Spec, facts: JobFacts) -> None:
    """Panoptic segments. An evaluation reads `test`, an inference a field of its own; with an engine, an evaluation
    reads `val` and an inference `test`."""
    sets = {"train": first(facts), "val": facts.eval}
    if facts.action == "evaluate":
        sets["test"] = facts.eval
    for part, dataset in sets.items():
        put_all(
            spec,
            {
                f"dataset.{part}.images": at(dataset, "images"),
                f"dataset.{part}.annotations": at(dataset, PANOPTIC_JSON),
                f"dataset.{part}.panoptic": at(dataset, "images_panoptic"),
            },
        )
    if facts.action == "inference":
        images = at(facts.inference or facts.eval, "images")
        put_all(spec, {"inference.images_dir": images, "dataset.test.images": images})
    if not get(spec, "dataset.label_map"):
        put(spec, "dataset.label_map", str(facts.folder / LABEL_MAP))


def visual_changenet_segment(spec: Spec, facts: JobFacts) -> None:
    """One folder for all splits; the specification names which of its lists an action reads."""
    train = first(facts)
    used = {"evaluate": facts.eval, "inference": facts.inference or facts.eval}.get(facts.action)
    put_all(spec, {"dataset.segment.root_dir": at(used or train)})


def label_map(facts: JobFacts) -> str | None:
    """The categories of the annotations as the tools read them; None where no dataset has readable ones."""
    for dataset in [*facts.train, facts.eval, facts.inference]:
        if dataset is None:
            continue
        name = PANOPTIC_JSON if dataset.format == PANOPTIC else "annotations.json"
        if categories := _categories(dataset.root / name):
            return msgspec.json.encode(categories).decode()
    return None


_MOST_JSON = 4 << 30


def _categories(path: Path) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(plain_file.read(path, _MOST_JSON), type=_Annotations).categories
    except (OSError, ValueError, RecursionError):
        return []


class _Annotations(msgspec.Struct):
    categories: list[dict[str, Any]] = []


def mask_rcnn(spec: Spec, facts: JobFacts) -> None:
    put_all(
        spec,
        {
            "data_config.training_file_pattern": at(first(facts), "tfrecords/*.tfrecord"),
            "data_config.validation_file_pattern": at(facts.eval, "tfrecords/*.tfrecord"),
            "data_config.val_json_file": at(facts.eval, "annotations.json"),
        },
    )
