"""Data of the data services, which work on the inference dataset: COCO, KITTI or masks of unet, as the spec says."""

from __future__ import annotations

from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.commands.sources.common import Spec, at, put_all
from taod.catalogue.releases import BASE
from taod.catalogue.schema.merge import get, put
from taod.errors import BadRequest

_LABELS = {"COCO": "annotations.json", "UNET": "masks"}
"""Where a format has its labels; the others have them in labels/."""


_FORMATS = {"coco": "COCO", "kitti": "KITTI", "pascal_voc": "PASCAL_VOC", "unet": "UNET"}
"""The services' name of a dataset's format."""
_LATER_FORMATS = {"coco": "COCO", "kitti": "KITTI"}
"""The same since release 7.3, whose tools report success for data of another format and write nothing."""
_ODVG = {"odvg": "ODVG"}


def _own_format(spec: Spec, facts: JobFacts, path: str) -> str:
    """The format at `path` as the tool will read it: the dataset's own, where that differs from the specification's.

    The format of the data always replaces the published default, with which the tool would find no labels.
    """
    given = str(get(spec, path, "COCO"))
    known, named = _FORMATS, _FORMATS
    if facts.release != BASE:
        known, named = _LATER_FORMATS | (_ODVG if facts.network == "annotations" else {}), _FORMATS | _ODVG
    own = known.get(facts.inference.format) if facts.inference else None
    if facts.inference is not None and own is None and facts.inference.format in named:
        raise BadRequest(
            f"{facts.network} of release {facts.release} reads no {facts.inference.format} data; "
            f"use a dataset of format {', '.join(known)}"
        )
    if own is None or own == given.upper():
        return given.upper()
    put(spec, path, own.lower() if given.islower() else own)
    return own


def analytics(spec: Spec, facts: JobFacts) -> None:
    _labels(spec, facts, _own_format(spec, facts, "data.input_format"))


def annotation_conversion(spec: Spec, facts: JobFacts) -> None:
    before = str(get(spec, "data.input_format", "COCO")).upper()
    given = _own_format(spec, facts, "data.input_format")
    if given != before and given == str(get(spec, "data.output_format", "KITTI")).upper():
        put(spec, "data.output_format", "KITTI" if given == "COCO" else "COCO")
    if facts.release != BASE:
        _check_conversion(facts, given, str(get(spec, "data.output_format", "COCO")).upper())
    if given == "COCO":
        put_all(spec, {"coco.ann_file": at(facts.inference, "annotations.json")})
    elif given == "ODVG":
        put_all(
            spec,
            {
                "odvg.ann_file": at(facts.inference, "annotations_odvg.jsonl"),
                "odvg.labelmap_file": at(facts.inference, "annotations_odvg_labelmap.json"),
            },
        )
    elif given == "UNET":  # a group that the published tool does not have; the embedded engine reads it
        put_all(spec, {"unet.image_dir": at(facts.inference, "images"), "unet.mask_dir": at(facts.inference, "masks")})
    else:
        put_all(
            spec,
            {"kitti.image_dir": at(facts.inference, "images"), "kitti.label_dir": at(facts.inference, "labels")},
        )


_CONVERSIONS = {"COCO": ("KITTI", "ODVG", "COCO"), "KITTI": ("COCO",), "ODVG": ("COCO",)}
"""Format -> what the tool converts it to. COCO to COCO numbers the categories from 0."""


def _check_conversion(facts: JobFacts, given: str, wanted: str) -> None:
    """Raise BadRequest for a conversion that the tool lacks: it would print that, write nothing and report success."""
    possible = _CONVERSIONS.get(given, ())
    if wanted not in possible:
        raise BadRequest(
            f"annotations of release {facts.release} converts no {given} to {wanted}; "
            f"set data.output_format to {' or '.join(possible)}"
            if possible
            else f"annotations of release {facts.release} converts no {given}; "
            f"set data.input_format to {' or '.join(_CONVERSIONS)}"
        )


def augmentation(spec: Spec, facts: JobFacts) -> None:
    _labels(spec, facts, _own_format(spec, facts, "data.dataset_type"))


def _labels(spec: Spec, facts: JobFacts, given: str) -> None:
    put_all(
        spec,
        {
            "data.image_dir": at(facts.inference, "images"),
            "data.ann_path": at(facts.inference, _LABELS.get(given, "labels")),
        },
    )


def auto_label(spec: Spec, facts: JobFacts) -> None:
    group = "inference" if facts.release == BASE else "mal.inference"
    put_all(
        spec,
        {
            f"{group}.img_dir": at(facts.inference, "images"),
            f"{group}.ann_path": at(facts.inference, "annotations.json"),
        },
    )
    if facts.release != BASE:
        put_all(spec, {"grounding_dino.dataset.image_dir": at(facts.inference, "images")})


def image(spec: Spec, facts: JobFacts) -> None:
    """Intact images are copied into the results; `in_place` would move damaged ones out of the dataset."""
    put(spec, "in_place", False)
    put_all(spec, {"data.image_dir": at(facts.inference, "images")})
