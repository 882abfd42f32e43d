"""Adapts a trial's specification to one rung: its epochs, and the intervals that depend on them. Pure."""

from __future__ import annotations

from typing import Any

from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge
from taod.catalogue.training_length import INTERVAL, length_field

_FIRST_EPOCH = "automl_assign_resume_epoch"
_COUNTS_FROM_0 = frozenset({"efficientdet_tf2"})


def for_rung(
    network: Network | str, document: merge.Document, *, epochs: int | None, done_epochs: int
) -> merge.Document:
    """A copy of the document that trains up to `epochs` (None: as in the document), after `done_epochs`.

    Each rung is validated and saves its checkpoint at its end.
    """
    chosen = get_network(network)
    whole = merge.merge(merge.default(chosen, "train"), document)
    changed: dict[str, Any] = {}
    field = length_field(chosen)
    if epochs is not None and field is not None:
        changed[field] = epochs
    fills = {**chosen.file.sweep_commands, **chosen.file.sweep_fields}
    for path, how in fills.items():
        name = how.partition(",")[0]
        if name == INTERVAL:
            # An interval that names no length (of log lines) does not depend on the rung.
            value = interval(how, path, whole, epochs if "," in how else None)
            if value is not None:
                changed[path] = value
        elif name == _FIRST_EPOCH and done_epochs:
            changed[path] = done_epochs if chosen.name in _COUNTS_FROM_0 else done_epochs + 1
    result = merge.merge(document, {})
    for path, value in changed.items():
        result = merge.merge(result, _nested(path, value))
    return result


def interval(how: str, field: str, document: merge.Document, epochs: int | None) -> Any:
    """The value of an interval, by `assign_const_value[,length[,other]]`.

    A rung of HyperBand validates and saves once, at its end. Otherwise the value is that of the field or of `other`,
    limited to `length`, so that each training is validated and leaves a checkpoint. None leaves the field unchanged.
    """
    _, *names = how.split(",")
    if epochs is not None:
        return epochs
    own = merge.get(document, names[1] if len(names) > 1 else field)
    most = merge.get(document, names[0]) if names else None
    return min(own, most) if _is_number(own) and _is_number(most) else own


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nested(path: str, value: Any) -> merge.Document:
    document: merge.Document = {}
    merge.put(document, path, value)
    return document
