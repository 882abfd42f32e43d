"""Which conversions write into the dataset that they work on, and which files they write there. Pure."""

from __future__ import annotations

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
"""Network or dataset type whose conversion it is -> its output files, as patterns below the dataset's folder."""

_ACTIONS = ("convert", "dataset_convert")


def writes(network: str, action: str) -> bool:
    """Whether the action writes into the dataset itself."""
    return network in OUTPUTS and action.startswith(_ACTIONS)


def stale(network: str, action: str) -> tuple[str, ...]:
    """Files of an earlier conversion that this one would leave beside its own, though they belong to other records."""
    return ("tfrecords/idx-*",) if (network, action) in _INDEXED else ()


_INDEXED = {("object_detection", "convert"), ("object_detection", "convert_and_index")}
