"""The model card of a pack: what the model is, how well it does, and how it came about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from taod.cli.support.comparison import markdown_row
from taod.cli.support.pack.description import Description, Task
from taod.client.curves import Curves
from taod.terminal import in_line
from taod.types.job import JobDetail
from taod.types.metric_direction import lower_is_better
from taod.types.model import Model


class Source(msgspec.Struct, frozen=True):
    """The jobs that a pack is made of, the first one first: trainings, then the export."""

    model: Model
    line: list[JobDetail]
    evaluations: list[JobDetail]


def card(source: Source, about: Description | None, written: str, version: str) -> str:
    """MODEL_CARD.md. `written`: date and time; `version`: that of taod; `about`: None where the file is not ONNX."""
    model = source.model
    parts = [f"# {_line(model.name)}", "", f"{model.network_arch}, release {model.release} of the TAO Toolkit."]
    if model.description:
        parts += ["", _line(model.description)]
    parts += ["", "## Input and output", *_interface(about)]
    for detail in source.evaluations:
        parts += ["", f"## Evaluation `{detail.job.id}`", "", *_data(detail), *_last(detail)]
    for detail in source.line:
        metrics = [] if detail.job.action == "export" else _best(detail)
        parts += ["", f"## {detail.job.action} `{detail.job.id}`", "", *_run(detail), *_data(detail), *metrics]
    parts += ["", f"Packed by taod {version}, {written}. `specs/` has the specification of each job, `SHA256SUMS` the"]
    parts += ["checksum of each file."]
    return "\n".join(parts) + "\n"


def _line(text: str) -> str:
    return in_line(" ".join(text.split()))


def _interface(about: Description | None) -> Iterable[str]:
    if about is None:
        yield from ("", "The file is not an ONNX model: its inputs and outputs are those of the tool that wrote it.")
        return
    yield ""
    for label, tensors in (("Input", about.inputs), ("Output", about.outputs)):
        for tensor in tensors:
            yield f"- {label} `{tensor.name}`: {tensor.type} {tensor.shape}"
    if about.classes:
        yield f"- Classes, by number from 0: {', '.join(_line(name) for name in about.classes)}"
    if about.task is Task.UNKNOWN:
        yield "- The file does not state how images are prepared; the specification of the training does."
    else:
        yield f"- Task: {about.task}. `model.json` states how images are prepared and outputs are read."


def _run(detail: JobDetail) -> Iterable[str]:
    view = detail.job
    yield f"- Started {view.started_at or 'never'}, took {_duration(view.started_at, view.ended_at)}"
    yield f"- Devices: {', '.join(view.devices) or 'none'}; runner: {view.runner or 'none'}"
    yield from (f"- {_line(entry.reason)}" for entry in detail.history if entry.reason)


def _duration(start: str | None, end: str | None) -> str:
    if start is None or end is None:
        return "unknown time"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f} s"


def _data(detail: JobDetail) -> Iterable[str]:
    for seen in detail.data:
        yield f"- Dataset ({seen.role}): {_line(seen.name)} `{seen.dataset_id}`, fingerprint {seen.fingerprint}"


def _best(detail: JobDetail) -> Iterable[str]:
    """A table of each metric at its last and its best epoch."""
    curves = Curves.from_job(detail.job)
    rows = []
    for metric in curves.metrics:
        epochs, values = curves.series(metric)
        at, best = curves.best(metric) or (epochs[-1], values[-1])
        rows.append((metric, f"{values[-1]:.4g} (epoch {epochs[-1]})", f"{best:.4g} (epoch {at})"))
    return _table(("metric", "last", "best"), rows)


def _last(detail: JobDetail) -> Iterable[str]:
    rows = [
        (kpi.metric, f"{values[-1]:.4g}", "lower" if lower_is_better(kpi.metric) else "higher")
        for kpi in detail.job.result.kpi
        if (values := [value for value in kpi.values.values() if value is not None])
    ]
    yield from _table(("metric", "value", "better"), rows)
    for each in detail.job.result.categorical:
        shown = [
            (value.category, f"{value.value:.4g}") for value in each.category_wise_values if value.value is not None
        ]
        yield from _table((each.metric, "value"), shown)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    if rows:
        lines = [markdown_row(map(_line, row)) for row in rows]
        yield from ("", markdown_row(head), markdown_row(["---"] * len(head)), *lines)
