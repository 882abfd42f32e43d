"""Required contents of a dataset by type and format: data, and its description as text."""

from __future__ import annotations

import os
from typing import NamedTuple

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".jp2"}
)
"""Suffixes of images, in lower case."""


class Content(NamedTuple):
    """Files that at least one of `folders` must hold, at any depth; the other folders (splits) may be empty."""

    folders: tuple[str, ...]
    what: str = "images"
    suffixes: frozenset[str] = IMAGE_SUFFIXES

    def accepts(self, name: str) -> bool:
        """Whether a file of this name counts."""
        return os.path.splitext(name)[1].lower() in self.suffixes  # noqa: PTH122 (as often as there are files)


class Layout(NamedTuple):
    """Required paths; a folder's ends in `/`. Of each choice in `one_of` one set of paths suffices."""

    needs: tuple[str, ...] = ()
    one_of: tuple[tuple[tuple[str, ...], ...], ...] = ()
    holds: tuple[Content, ...] = ()

    def paths(self) -> list[str]:
        """All paths, including those of every choice."""
        return [*self.needs, *(path for choice in self.one_of for option in choice for path in option)]

    def describe(self) -> str:
        """The layout as text for a message."""
        parts = list(self.needs)
        for choice in self.one_of:
            parts.append(" or ".join(" with ".join(alternative) for alternative in choice))
        return ", ".join(parts)


def _texts(folder: str) -> Content:
    return Content((folder,), "label files", frozenset({".txt"}))


_IMAGES = (Content(("images/",)),)
_DETECTION = {
    "kitti": Layout(("images/", "labels/"), holds=(*_IMAGES, _texts("labels/"))),
    "coco": Layout(("images/", "annotations.json"), holds=_IMAGES),
    # The label map may have either name.
    "coco_raw": Layout(("images/",), ((("label_map.txt",), ("label_map.yaml",)),), _IMAGES),
    "odvg": Layout(("images/", "annotations_odvg.jsonl", "annotations_odvg_labelmap.json"), holds=_IMAGES),
    "*": Layout(("images/",), holds=_IMAGES),
}

RETAIL = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
"""Folder in which ml_recog's tool reads its classes."""


def _pose(layout: str) -> tuple[str, ...]:
    files = ("train_data.npy", "train_label.pkl", "val_data.npy", "val_label.pkl")
    return tuple(f"{layout}/{file}" for file in files)


def _filled(*folders: str) -> Layout:
    """A layout with these folders and images in at least one of them."""
    return Layout(folders, holds=(Content(folders),))


LAYOUTS: dict[str, dict[str, Layout]] = {
    "object_detection": _DETECTION,
    "instance_segmentation": _DETECTION
    | {
        "coco_panoptic": Layout(
            ("images/", "images_panoptic/", "annotations_panoptic.json"),
            holds=(*_IMAGES, Content(("images_panoptic/",), suffixes=frozenset({".png"}))),
        )
    },
    "semantic_segmentation": {
        "unet": Layout(
            ("images/train/", "images/val/", "images/test/", "masks/train/", "masks/val/"),
            holds=(Content(("images/train/", "images/val/", "images/test/")),),
        ),
        "coco": Layout(("images/", "annotations.json"), holds=_IMAGES),
        "*": Layout(("images/",), holds=_IMAGES),
    },
    # structure.py checks the images* folder of a classification dataset, since its name varies.
    "image_classification": {
        "custom": Layout(("val.csv",)),
        "classification_pyt": Layout(("classes.txt",)),
        "*": Layout(),
    },
    "character_recognition": {
        "raw": Layout(("image/",), holds=(Content(("image/",)),)),
        "*": Layout(("image/", "label/", "characters.txt"), holds=(Content(("image/",)), _texts("label/"))),
    },
    "ocrnet": {"*": Layout(("character_list",), ((("train/gt_new.txt",), ("test/gt_new.txt",)),))},
    "ocdnet": {
        "*": Layout(
            (),
            ((("train/img/", "train/gt/"), ("test/img/", "test/gt/")),),
            (Content(("train/img/", "test/img/")),),
        )
    },
    "optical_inspection": {"*": Layout(("images/", "dataset.csv"), holds=_IMAGES)},
    "ml_recog": {"*": _filled(f"{RETAIL}/known_classes/", f"{RETAIL}/unknown_classes/")},
    "bpnet": {
        "*": Layout(
            (
                "annotations/person_keypoints_train2017.json",
                "annotations/person_keypoints_val2017.json",
                "train2017/",
                "val2017/",
                "coco_spec.json",
                "bpnet_18joints.json",
                "infer_spec.yaml",
            ),
            holds=(Content(("train2017/", "val2017/")),),
        )
    },
    "fpenet": {"*": Layout(("data.json",), ((("data/afw/afw.json",), ("data/afw_10/afw_10.json",)),))},
    "action_recognition": {"*": _filled("train/", "test/")},
    "pointpillars": {
        "*": Layout(
            ("train/label/", "train/lidar/", "val/label/", "val/lidar/"),
            holds=(Content(("train/lidar/", "val/lidar/"), "scans", frozenset({".bin"})),),
        )
    },
    "pose_classification": {"*": Layout((), ((_pose("kinetics"), _pose("nvidia")),))},
    "re_identification": {"*": _filled("sample_train/", "sample_test/", "sample_query/")},
    "centerpose": {"*": _filled("train/", "val/", "test/")},
    "depth_net_mono": {"*": Layout(("images/", "annotations.txt"), holds=_IMAGES)},
    "depth_net_stereo": {"*": Layout(("images/", "annotations.txt"), holds=_IMAGES)},
    "visual_changenet_segment": {
        "*": Layout(
            ("A/", "B/", "label/", "list/"),
            holds=(Content(("A/",)), Content(("B/",)), Content(("list/",), "lists", frozenset({".txt"}))),
        )
    },
}


def layout(type_: str, format_: str) -> Layout:
    """The layout of a type and format; a format without its own layout has the type's.

    Raises KeyError for an unknown type.
    """
    formats = LAYOUTS[type_]
    return formats.get(format_, formats["*"])


SPLITS: dict[str, tuple[str, ...]] = {
    "object_detection": ("images",),
    "instance_segmentation": ("images",),
    "semantic_segmentation": ("images/train", "images/val", "images/test"),
    "character_recognition": ("image",),
    "ocrnet": ("train", "test"),
    "ocdnet": ("train/img", "test/img"),
    "optical_inspection": ("images",),
    "ml_recog": tuple(
        f"{RETAIL}/{known}/{part}"
        for known in ("known_classes", "unknown_classes")
        for part in ("train", "val", "reference", "test")
    ),
    "bpnet": ("train2017", "val2017"),
    "fpenet": ("data/afw", "data/afw_10"),
    "action_recognition": ("train", "test"),
    "re_identification": ("sample_train", "sample_test", "sample_query"),
    "centerpose": ("train", "val", "test"),
    "depth_net_mono": ("images",),
    "depth_net_stereo": ("images",),
    "visual_changenet_segment": ("A",),
}
"""Folders whose images are counted, if they exist."""

CLASS_FOLDERS = frozenset({"image_classification", "ml_recog", "action_recognition"})
"""Types in which a split's subfolders are classes."""
