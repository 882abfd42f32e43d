"""The number of GPUs of a run, and the spec's fields for the leased ones. Pure."""

from __future__ import annotations

from typing import Any

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge

_COUNTS = ("gpus", "num_gpus")
_LISTS = ("gpu_ids", "gpu_id")
_INDEX = "gpu_index"
_GROUPS = ("", "train.")
FIELDS = frozenset(f"{group}{name}" for group in _GROUPS for name in (*_COUNTS, *_LISTS))
ON_CPU = "export.on_cpu"
"""Parameter of exports. On a machine without a GPU, ml_recog's export fails unless it is true."""
_TRAINING = frozenset({"train", "retrain", "finetune"})


def devices_wanted(network: Network | str, action: str, spec: dict[str, Any] | None) -> int:
    """Number of devices of an action: that of the spec for a training, else one."""
    if action not in _TRAINING:
        return 1
    if spec is None:
        spec = merge.default(get_network(network), action)
    return max([1, *(_asked(merge.get(spec, field)) for field in FIELDS)])


def _asked(value: Any) -> int:
    if isinstance(value, list):
        return len(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def fit(spec: dict[str, Any], gpus: int) -> None:
    """Fit the spec to the leased devices: counts up to that number, ids from 0, as the run sees them.

    Without a GPU, counts stay 1: the tools know no other number for one process.
    """
    most = max(1, gpus)
    for group in [spec, *(value for value in spec.values() if isinstance(value, dict))]:
        for name in (*_COUNTS, *_LISTS, _INDEX):
            value = group.get(name)
            if isinstance(value, list):
                group[name] = list(range(max(1, min(len(value), most))))
            elif value is not None:
                group[name] = max(1, min(_asked(value), most)) if name in _COUNTS else 0
