"""How long a network trains: the field of its specification that says so, and a trial's specification for one rung."""

from __future__ import annotations

from typing import Any

from taod.catalogue.commands.sweep import const_value
from taod.catalogue.network import Network, of
from taod.catalogue.schema import merge

_INTERVAL = "assign_const_value"
_FIRST_EPOCH = "automl_assign_resume_epoch"
_NAMES = ("num_epochs", "n_epochs", "max_epochs", "num_epoch", "epochs", "max_iters")
_COUNTS_FROM_0 = frozenset({"efficientdet_tf2"})


def length_field(network: Network | str) -> str | None:
    """The path of what a training is long by, in epochs (segformer: iterations); None where a network has none."""
    chosen = of(network)
    for how in chosen.file.sweep_fields.values():
        name, _, rest = how.partition(",")
        if name == _INTERVAL and rest:
            return rest.partition(",")[0]
    rows = chosen.table("train").rows
    return next((path for name in _NAMES for path in rows if path.rpartition(".")[2] == name), None)


def length(network: Network | str, document: merge.Document) -> int | None:
    """How long a whole training of this document is."""
    field = length_field(network)
    value = merge.get(document, field) if field is not None else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 else None


def for_rung(
    network: Network | str, document: merge.Document, *, epochs: int | None, done_epochs: int
) -> merge.Document:
    """The document as a trial trains it up to `epochs` (None: as the document says), after `done_epochs`.

    A rung is validated and leaves its checkpoint when it ends; `document` is not changed.
    """
    chosen = of(network)
    whole = merge.merge(merge.default(chosen, "train"), document)
    changed: dict[str, Any] = {}
    field = length_field(chosen)
    if epochs is not None and field is not None:
        changed[field] = epochs
    fills = {**chosen.file.sweep_commands, **chosen.file.sweep_fields}
    for path, how in fills.items():
        name = how.partition(",")[0]
        if name == _INTERVAL:
            # What has no length beside it (an interval of log lines) is no matter of rungs.
            value = const_value(how, path, whole, epochs if "," in how else None)
            if value is not None:
                changed[path] = value
        elif name == _FIRST_EPOCH and done_epochs:
            changed[path] = done_epochs if chosen.name in _COUNTS_FROM_0 else done_epochs + 1
    made = merge.merge(document, {})
    for path, value in changed.items():
        made = merge.merge(made, _nested(path, value))
    return made


def _nested(path: str, value: Any) -> merge.Document:
    document: merge.Document = {}
    merge.put(document, path, value)
    return document
