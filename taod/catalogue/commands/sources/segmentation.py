"""Data of semantic and instance segmentation."""

from __future__ import annotations

from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, put_all
from taod.catalogue.schema.merge import put


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
    """COCO instances. Inference reads the images of `test`; an evaluation reads the same images as `val`."""
    sets = {"train": first(facts), "val": facts.eval, "test": facts.inference or facts.eval}
    for part, dataset in sets.items():
        if dataset is None:
            continue
        put_all(spec, {f"dataset.{part}.type": "coco", f"dataset.{part}.img_dir": at(dataset, "images")})
        if part != "test":
            put_all(spec, {f"dataset.{part}.instance_json": at(dataset, "annotations.json")})
    owner = first(facts) or facts.eval or facts.inference
    if owner is not None and (owner.root / "label_map.json").is_file():
        put_all(spec, {"dataset.label_map": at(owner, "label_map.json")})


def mask_rcnn(spec: Spec, facts: JobFacts) -> None:
    put_all(
        spec,
        {
            "data_config.training_file_pattern": at(first(facts), "tfrecords/*.tfrecord"),
            "data_config.validation_file_pattern": at(facts.eval, "tfrecords/*.tfrecord"),
            "data_config.val_json_file": at(facts.eval, "annotations.json"),
        },
    )
