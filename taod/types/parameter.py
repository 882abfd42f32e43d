"""Decides which parameters of a specification are shown first, for the command line and the dashboard. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USUAL = frozenset(
    (
        *("num_epochs", "max_epochs", "n_epochs", "epochs", "batch_size", "batch_size_per_gpu", "samples_per_gpu"),
        *("lr", "learning_rate", "num_classes", "num_gpus", "gpus", "arch", "backbone", "input_width", "input_height"),
        *("checkpoint_interval", "validation_interval", "data_type", "max_batch_size", "seed"),
    )
)
"""Last parts of the names of parameters that most users need first, in every network."""


def notable(path: tuple[str, ...], schema: Mapping[str, Any], *, required: bool, swept: bool) -> bool:
    """Whether a parameter is shown before the user requests all; `schema` is the parameter's part of the JSON
    Schema."""
    usual = path[-1] in USUAL or path[-2:] == ("backbone", "type")
    return required or swept or usual or bool(schema.get("popular"))
