"""Data of the data services, which work on the inference data set: COCO or KITTI, as the spec says."""

from __future__ import annotations

from taod.catalogue.facts import JobFacts
from taod.catalogue.merge import get
from taod.catalogue.sources.common import Spec, at, put_all


def analytics(spec: Spec, facts: JobFacts) -> None:
    coco = str(get(spec, "data.input_format", "COCO")).upper() == "COCO"
    put_all(
        spec,
        {
            "data.image_dir": at(facts.inference, "images"),
            "data.ann_path": at(facts.inference, "annotations.json" if coco else "labels"),
        },
    )


def annotation_conversion(spec: Spec, facts: JobFacts) -> None:
    if str(get(spec, "data.input_format", "COCO")).upper() == "COCO":
        put_all(spec, {"coco.ann_file": at(facts.inference, "annotations.json")})
    else:
        put_all(
            spec,
            {"kitti.image_dir": at(facts.inference, "images"), "kitti.label_dir": at(facts.inference, "labels")},
        )


def augmentation(spec: Spec, facts: JobFacts) -> None:
    coco = str(get(spec, "data.dataset_type", "kitti")).lower() == "coco"
    put_all(
        spec,
        {
            "data.image_dir": at(facts.inference, "images"),
            "data.ann_path": at(facts.inference, "annotations.json" if coco else "labels"),
        },
    )


def auto_label(spec: Spec, facts: JobFacts) -> None:
    put_all(
        spec,
        {
            "inference.img_dir": at(facts.inference, "images"),
            "inference.ann_path": at(facts.inference, "annotations.json"),
        },
    )
