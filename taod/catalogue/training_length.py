"""The length of a training: the field of its specification, and its value."""

from __future__ import annotations

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge

INTERVAL = "assign_const_value"
"""Mark in a table of a field that depends on the length: `assign_const_value,<path of the length>`."""
_NAMES = ("num_epochs", "n_epochs", "max_epochs", "num_epoch", "epochs", "max_iters")


def length_field(network: Network | str) -> str | None:
    """The path of a training's number of epochs (segformer: iterations); None if a network has none."""
    chosen = get_network(network)
    for how in chosen.file.sweep_fields.values():
        name, _, rest = how.partition(",")
        if name == INTERVAL and rest:
            return rest.partition(",")[0]
    rows = chosen.table("train").rows
    return next((path for name in _NAMES for path in rows if path.rpartition(".")[2] == name), None)


def length(network: Network | str, document: merge.Document) -> int | None:
    """The epochs (segformer: iterations) of a training; `document` is its merged specification."""
    field = length_field(network)
    value = merge.get(document, field) if field is not None else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 else None
