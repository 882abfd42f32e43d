"""Data of the data services, which work on the inference data set: COCO, KITTI or masks of unet, as the spec says."""

from __future__ import annotations

from taod.catalogue.facts import JobFacts
from taod.catalogue.merge import get
from taod.catalogue.sources.common import Spec, at, put_all

_LABELS = {"COCO": "annotations.json", "UNET": "masks"}
"""Where a format has its labels; the others have them in labels/."""


def analytics(spec: Spec, facts: JobFacts) -> None:
    given = str(get(spec, "data.input_format", "COCO")).upper()
    put_all(
        spec,
        {
            "data.image_dir": at(facts.inference, "images"),
            "data.ann_path": at(facts.inference, _LABELS.get(given, "labels")),
        },
    )


def annotation_conversion(spec: Spec, facts: JobFacts) -> None:
    given = str(get(spec, "data.input_format", "COCO")).upper()
    if given == "COCO":
        put_all(spec, {"coco.ann_file": at(facts.inference, "annotations.json")})
    elif given == "UNET":  # a group that the published tool does not have; the embedded engine reads it
        put_all(spec, {"unet.image_dir": at(facts.inference, "images"), "unet.mask_dir": at(facts.inference, "masks")})
    else:
        put_all(
            spec,
            {"kitti.image_dir": at(facts.inference, "images"), "kitti.label_dir": at(facts.inference, "labels")},
        )


def augmentation(spec: Spec, facts: JobFacts) -> None:
    given = str(get(spec, "data.dataset_type", "kitti")).upper()
    put_all(
        spec,
        {
            "data.image_dir": at(facts.inference, "images"),
            "data.ann_path": at(facts.inference, _LABELS.get(given, "labels")),
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
