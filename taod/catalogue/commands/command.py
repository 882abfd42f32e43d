"""The command line of a job: the tool's name, its action, and its fields as options. Pure."""

from __future__ import annotations

from typing import Any

from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.network import Network

# Conversions run as an action of some network's tool: (dataset type, action) -> the words that start the line.
_CONVERSIONS = {
    ("object_detection", "convert"): ("detectnet_v2", "dataset_convert"),
    ("object_detection", "convert_and_index"): ("ssd", "dataset_convert"),
    ("object_detection", "convert_efficientdet_tf1"): ("efficientdet_tf1", "dataset_convert"),
    ("object_detection", "convert_efficientdet_tf2"): ("efficientdet_tf2", "dataset_convert"),
    ("object_detection", "kmeans"): ("yolo_v3", "kmeans"),
    ("object_detection", "augment"): ("augment",),
    ("instance_segmentation", "convert"): ("mask_rcnn", "dataset_convert"),
    ("semantic_segmentation", "convert"): ("unet", "dataset_convert"),
}
_TF2_CONVERSIONS = frozenset({"convert_efficientdet_tf2"})
_ENGINES = frozenset({"gen_trt_engine", "trtexec"})

# Options of conversions that the reference does not list.
_CONVERSION_FIELDS = {
    ("object_detection", "convert"): {
        "dataset_export_spec": "experiment_spec",
        "output_filename": "tfrecords_prefix",
        "results_dir": "output_dir",
    },
    ("object_detection", "convert_and_index"): {
        "class_names_file": "class_names_file",
        "dataset_export_spec": "experiment_spec",
        "output_filename": "tfrecords_prefix",
        "results_dir": "output_dir",
    },
    ("object_detection", "convert_efficientdet_tf2"): {"experiment_spec": "experiment_spec"},
    ("semantic_segmentation", "convert"): {
        "coco_file": "od_annotations",
        "num_files": "from_csv",
        "results_dir": "own_masks",
    },
}


def program(network: Network, action: str) -> list[str]:
    """The words that a command line starts with."""
    conversion = _CONVERSIONS.get((network.name, action))
    if conversion is not None:
        return list(conversion)
    if action == "trtexec":
        return ["trtexec"]
    return [network.program, "train" if action == "retrain" else action]


def image(facts: JobFacts, network: Network) -> str:
    """The container image that has the tool."""
    if runs_deployed(facts):
        return "tao-deploy"
    return "tlt-tf2" if facts.action in _TF2_CONVERSIONS else network.image


def runs_deployed(facts: JobFacts) -> bool:
    """Whether TensorRT does the work: building an engine, and all that follows from one."""
    if facts.network == "bpnet":
        return False
    if facts.action in _ENGINES:
        return True
    parent = facts.parent
    while parent is not None:
        if parent.action in _ENGINES:
            return True
        parent = parent.parent
    return False


def fields(facts: JobFacts, network: Network) -> dict[str, str]:
    """Command line field -> the function that gives its value."""
    commands = network.file.commands
    if commands is None:
        return {}
    deployed = commands.get(f"{facts.action}_tao_deploy") if runs_deployed(facts) else None
    found = deployed if deployed is not None else commands.get(facts.action)
    return dict(found if found is not None else _CONVERSION_FIELDS.get((network.name, facts.action), {}))


def options(values: dict[str, Any]) -> list[str]:
    """`--field=value` for each; true is the bare field, false and null are left out."""
    line: list[str] = []
    for field, value in values.items():
        if value is True:
            line.append(f"--{field}")
        elif value is not None and value is not False:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            line.append(f"--{field}={text}")
    return line
