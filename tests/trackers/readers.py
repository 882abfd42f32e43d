"""Reads event files as TensorBoard does."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Scalars = dict[str, list[tuple[int, float]]]


def loaded(folder: Path) -> Any:
    """The accumulator of one run, with all its points."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return accumulator.Reload()


def events(file: Path) -> Iterator[Any]:
    """All events of a file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    yield from EventFileLoader(str(file)).Load()


def runs(logdir: Path) -> Iterator[str]:
    """The names of the runs that `tensorboard --logdir` shows."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    yield from EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload().Runs()


def scalars(folder: Path) -> Scalars:
    """Tag → (step, value) of each point that is shown, in the order of the file."""
    found = loaded(folder)
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def texts(folder: Path) -> dict[str, list[str]]:
    """Tag → its texts, as TensorBoard's page of texts gets them."""
    found = loaded(folder)
    return {
        tag.removesuffix("/text_summary"): [
            html.unescape(each.tensor_proto.string_val[0].decode()) for each in found.Tensors(tag)
        ]
        for tag in found.Tags()["tensors"]
    }


def parameters(folder: Path) -> dict[str, object]:
    """What the page of hyperparameters shows of a run."""
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    content = loaded(folder).SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    found = parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}
