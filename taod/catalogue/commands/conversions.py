"""Conversions that write into the dataset they work on, and the files that they write. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

from taod.catalogue.network import actions_for_dataset

OUTPUTS: dict[str, tuple[str, ...]] = {
    "object_detection": ("tfrecords/*",),
    "instance_segmentation": ("tfrecords/*",),
    "semantic_segmentation": ("masks/*",),
    "bpnet": ("train-fold-*", "val-fold-*", "*mask*"),
    "fpenet": ("data/tfrecords/*",),
    "ocrnet": ("train/lmdb/*", "test/lmdb/*"),
    "pointpillars": ("infos_*.pkl", "dbinfos_*.pkl", "gt_database*"),
    "pose_classification": ("object_*.npy", "status.json"),
}
"""Network or dataset type of the conversion -> its output files, as patterns below the dataset's folder."""


def is_conversion(action: str) -> bool:
    """Whether the action converts its own dataset."""
    return action.startswith(("convert", "dataset_convert"))


def writes(network: str, action: str) -> bool:
    """Whether the action writes into the dataset itself."""
    return network in OUTPUTS and is_conversion(action)


def is_output(dataset_type: str, dataset_format: str, path: str) -> bool:
    """Whether a conversion of such a dataset writes the path: a file, its folder, or a pattern of files."""
    if not any(writes(dataset_type, action) for action in actions_for_dataset(dataset_type, dataset_format)):
        return False
    return any(fnmatchcase(path, pattern) or path == pattern.removesuffix("/*") for pattern in OUTPUTS[dataset_type])


def stale(network: str, action: str) -> tuple[str, ...]:
    """Files of an earlier conversion to remove first: with other shards they would stay beside the new records."""
    return ("tfrecords/tfrecords-*", "tfrecords/idx-*") if (network, action) in _INDEXED else ()


_INDEXED = {("object_detection", "convert"), ("object_detection", "convert_and_index")}
