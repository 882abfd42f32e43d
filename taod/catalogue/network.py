"""A network or dataset type, and the catalogue of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from taod.catalogue import releases
from taod.catalogue.schema.tables import (
    IndexEntry,
    NetworkFile,
    StatusFacts,
    Table,
    index,
    network_file,
    pretrained,
    table,
)
from taod.types.metric_direction import lower_is_better

# A conversion reads one format: KITTI label files, or one annotations.json.
_NEEDS_FORMAT = {
    ("object_detection", "convert"): {"kitti"},
    ("object_detection", "convert_and_index"): {"kitti"},
    ("object_detection", "augment"): {"kitti"},
    ("object_detection", "kmeans"): {"kitti"},
    ("object_detection", "convert_efficientdet_tf1"): {"coco"},
    ("object_detection", "convert_efficientdet_tf2"): {"coco"},
    ("instance_segmentation", "convert"): {"coco"},
    ("semantic_segmentation", "convert"): {"coco"},
}

_TRAINED = ("train", "distill", "prune", "retrain")
_WITH_WEIGHTS = (*_TRAINED, "quantize")
_PARENTS: dict[str, tuple[str, ...]] = {
    "evaluate": (*_WITH_WEIGHTS, "export", "gen_trt_engine", "trtexec"),
    "inference": (*_WITH_WEIGHTS, "export", "gen_trt_engine", "trtexec"),
    "inference_seq": (*_TRAINED, "export"),
    "inference_trt": (*_TRAINED, "export"),
    "prune": ("train", "retrain"),
    "retrain": ("train", "prune"),
    "distill": ("train", "distill"),
    "quantize": (*_TRAINED, "export"),
    "export": _WITH_WEIGHTS,
    "gen_trt_engine": ("export",),
    "trtexec": ("export",),
    "confmat": _TRAINED,
    "convert": ("augment",),
    "convert_and_index": ("augment",),
    "convert_efficientdet_tf1": ("augment",),
    "convert_efficientdet_tf2": ("augment",),
}
"""Action -> the actions that may be its parent."""
_NEED_PARENT = frozenset({"prune", "retrain", "distill", "quantize", "export", "gen_trt_engine", "trtexec"})
# ocdnet's prune saves the module itself. Its evaluation and retrain load that; its export and inference load a
# checkpoint with a state dict, which a training or a retrain of the pruned model saves.
# mae's deploy tool builds engines and does nothing with them.
_NOT_AFTER = {
    ("ocdnet", "export"): {"prune"},
    ("ocdnet", "inference"): {"prune"},
    ("mae", "evaluate"): {"gen_trt_engine"},
    ("mae", "inference"): {"gen_trt_engine"},
}


QUANTIZED = "is_quantized"
"""The parameter of an action that can read a quantized model."""


class Network:
    """A network architecture, a data service or a dataset type. Its tables are read on demand."""

    def __init__(self, name: str, entry: IndexEntry) -> None:
        self.name = name
        self._entry = entry

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {self.release!r})"

    @property
    def release(self) -> str:
        """The release that its facts are of; `5.0` for one that later releases do not list."""
        return self._entry.release

    @property
    def program(self) -> str:
        """The tool's executable."""
        return self._entry.program or self.name

    @property
    def takes_only_overrides(self) -> bool:
        """Whether the command line is `-e FILE` and overrides alone, and the tool rejects unknown parameters."""
        return self.file.commands is None

    @property
    def checkpoint_environment(self) -> dict[str, str]:
        """Variables that a run needs which reads a checkpoint of a training.

        Those of later releases hold the training's configuration, which PyTorch rejects without this variable.
        """
        return {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"} if self.takes_only_overrides else {}

    @property
    def kind(self) -> str:
        """`network` or `dataset`."""
        return self._entry.kind

    @property
    def dataset_type(self) -> str:
        return self._entry.dataset_type

    @property
    def formats(self) -> list[str]:
        """Its own formats, else those of its dataset type."""
        return list(self._entry.formats or index(releases.KNOWN[-1])[self.dataset_type].formats)

    @property
    def image(self) -> str:
        return self._entry.image

    @property
    def spec_format(self) -> str:
        """`yaml`, `protobuf` or `json`."""
        return self._entry.spec_format

    @property
    def resolves_references(self) -> bool:
        """Whether the tool reads its specification with OmegaConf; bpnet and fpenet read plain YAML."""
        return self._entry.spec_format == "yaml" and self.name not in ("bpnet", "fpenet", "pointpillars")

    @property
    def classwise(self) -> bool:
        return self._entry.classwise

    @property
    def actions(self) -> list[str]:
        return list(self._entry.actions)

    @property
    def metric(self) -> str | None:
        """The main metric, as the tool names it."""
        return self._entry.metric

    @property
    def metric_direction(self) -> str:
        """`minimise` or `maximise`."""
        return self._entry.metric_direction

    def minimises(self, metric: str) -> bool:
        """Whether lower values are better: the main metric by its direction, others by their name."""
        if metric == self._entry.metric:
            return self._entry.metric_direction == "minimise"
        return lower_is_better(metric)

    @property
    def checkpoint_separator(self) -> str:
        return self._entry.checkpoint_separator

    @property
    def first_checkpoint(self) -> int:
        """The number in the name of the first epoch's checkpoint: 0 or 1."""
        return self._entry.first_checkpoint

    @property
    def model_files(self) -> list[str]:
        """Patterns of the checkpoints that later actions read, in order of preference; empty: the same as a resume."""
        return self._entry.model_files

    @property
    def status(self) -> StatusFacts:
        """How its training reports in status.json."""
        return self._entry.status

    @property
    def file(self) -> NetworkFile:
        return network_file(self.name, self.release)

    def takes_spec(self, action: str) -> bool:
        """Whether the action has a specification that a user can set."""
        return action in self._entry.specs

    def table(self, action: str) -> Table:
        return table(self.name, action, self.release)

    def may_follow(self, action: str) -> list[str]:
        """The actions that `action` may have as its parent."""
        excluded = _NOT_AFTER.get((self.name, action), set())
        if "quantize" in self._entry.actions and f"{action}.{QUANTIZED}" not in self.table(action).rows:
            excluded = {*excluded, "quantize"}
        return [each for each in _PARENTS.get(action, ()) if each in self._entry.actions and each not in excluded]

    def needs_parent(self, action: str) -> bool:
        """Whether `action` cannot run without a parent."""
        return action in _NEED_PARENT


def actions_for_dataset(dataset_type: str, dataset_format: str) -> list[str]:
    """The actions that can run on a dataset of a type and format.

    A type that belongs to one network has the conversion of that network, which is the one of the first release that
    lists it: ocrnet has none since 7.3.
    """
    entry = index().get(dataset_type)
    if entry is None:
        return []
    if entry.kind != "dataset":
        return [action for action in entry.actions if action == "dataset_convert"]
    everywhere = set(entry.formats)
    return [a for a in entry.actions if dataset_format in _NEEDS_FORMAT.get((dataset_type, a), everywhere)]


@lru_cache(maxsize=256)
def get(name: str, release: str = releases.BASE) -> Network | None:
    """The network of that name in a release, or None. Raises KeyError for an unknown release."""
    entry = index(release).get(name)
    return Network(name, entry) if entry is not None else None


def get_network(network: Network | str, release: str = releases.BASE) -> Network:
    """The network itself, or the one of a name in a release; raises KeyError for an unknown one."""
    if isinstance(network, Network):
        return network
    found = get(network, release)
    if found is None:
        raise KeyError(network)
    return found


class Catalogue:
    """All networks and dataset types. Creating one reads only the index."""

    def names(self, release: str = releases.BASE) -> list[str]:
        return list(index(release))

    def network(self, name: str, release: str = releases.BASE) -> Network | None:
        return get(name, release)

    def networks(self, release: str = releases.BASE) -> list[str]:
        """Network architectures of models."""
        return [name for name, entry in index(release).items() if entry.kind == "network"]

    def releases_of(self, name: str) -> list[str]:
        """The releases with facts of their own of a network, oldest first; empty for an unknown name."""
        found = [network.release for release in releases.KNOWN if (network := get(name, release)) is not None]
        return list(dict.fromkeys(found))

    def dataset_types(self) -> list[str]:
        """Types that a dataset can have, of all releases."""
        return sorted({entry.dataset_type for entry in index(releases.KNOWN[-1]).values()})

    def dataset_formats(self, dataset_type: str) -> list[str]:
        """Formats that a dataset of that type can have; empty for an unknown type."""
        if dataset_type not in self.dataset_types():
            return []
        entries = index(releases.KNOWN[-1])
        # A type that no entry is named after has the formats of its network.
        named = entries.get(dataset_type)
        return list((named or next(each for each in entries.values() if each.dataset_type == dataset_type)).formats)

    def pretrained(self) -> Iterator[tuple[str, str]]:
        """The published pretrained models, (ngc_path, network_arch) each."""
        return pretrained()

    def actions_for_dataset(self, dataset_type: str, dataset_format: str) -> list[str]:
        return actions_for_dataset(dataset_type, dataset_format)
