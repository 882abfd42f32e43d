"""Readers of labels, one module a format: pure, imported when first needed, shared by the daemon and the engine.

They read files and import nothing of the daemon: no store, no HTTP, no scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from taod.datasets.formats.types import Box, Found, Item, Label, Problem

__all__ = ["Box", "Found", "Item", "Label", "Problem", "Reader", "reader"]

Reader = Callable[[Path], Iterator[Found]]

_BARE = ("folders", "read_bare")
_DETECTION = {
    "kitti": ("kitti", "read"),
    "coco": ("coco", "read"),
    "coco_raw": ("label_map", "read"),
    "pascal_voc": ("voc", "read"),
    "odvg": ("odvg", "read"),
    "*": _BARE,
}
_READERS: dict[str, dict[str, tuple[str, str]]] = {
    "object_detection": _DETECTION,
    "instance_segmentation": _DETECTION | {"coco": ("coco", "read_instances"), "coco_panoptic": ("panoptic", "read")},
    "semantic_segmentation": {"unet": ("masks", "read"), "coco": ("coco", "read_segments"), "*": _BARE},
    "image_classification": {
        "custom": ("classification", "read_tables"),
        "raw": ("classification", "read_flat"),
        "ssl": ("classification", "read_flat"),
        "*": ("classification", "read_folders"),
    },
    "character_recognition": {"raw": ("folders", "read_image"), "*": ("characters", "read_plates")},
    "ocrnet": {"*": ("characters", "read_words")},
    "ocdnet": {"*": ("quads", "read")},
    "optical_inspection": {"*": ("inspection", "read")},
    "ml_recog": {"*": ("folders", "read_products")},
    "bpnet": {"*": ("landmarks", "read_bodies")},
    "fpenet": {"*": ("landmarks", "read_faces")},
    "action_recognition": {"*": ("folders", "read_videos")},
    "pointpillars": {"*": ("lidar", "read")},
    "pose_classification": {"*": ("arrays", "read")},
    "re_identification": {"*": ("folders", "read_persons")},
    "centerpose": {"*": ("cuboids", "read")},
    "depth_net_mono": {"*": ("depth", "read_mono")},
    "depth_net_stereo": {"*": ("depth", "read_stereo")},
    "visual_changenet_segment": {"*": ("changes", "read")},
}


def reader(type_: str, format_: str) -> Reader:
    """The reader of datasets of a type and format. Raises KeyError for an unknown type.

    The reader yields items and problems in the order of the files; it raises nothing for invalid content.
    """
    formats = _READERS[type_]
    module, name = formats.get(format_, formats["*"])
    found: Reader = getattr(import_module(f"{__name__}.{module}"), name)
    return found
