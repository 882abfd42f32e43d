"""What a sweep's training is given instead of a plain one: its own spec file, folder, checkpoint and intervals. Pure.

A sweep trains one recommendation after the other in the folder of one job; who recommends is not known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from taod.catalogue.commands import artifacts, placeholders
from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.network import Network, of
from taod.catalogue.schema import merge
from taod.catalogue.specfiles.emit import SUFFIXES

_CONST = "assign_const_value"
_COUNTS_FROM_0 = frozenset({"efficientdet_tf2"})


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One set of values that a sweep tries."""

    number: int
    """Counted from 0 within the sweep."""
    epochs: int | None = None
    """How long a rung of HyperBand trains: epoch multiplier times resource; None: as long as the spec says."""
    done_epochs: int = 0
    """Epochs that earlier rungs have trained it for; 0 for a new one."""


class Filled(msgspec.Struct, frozen=True):
    """Values of the fields that the network's sweeps fill; a field that gets none is left out."""

    commands: dict[str, Any]
    """For the command line."""
    fields: dict[str, Any]
    """For the spec, by dotted path."""


def spec_path(facts: JobFacts, recommendation: Recommendation) -> Path:
    """The spec file of a recommendation, in the job's folder."""
    return facts.folder / f"recommendation_{recommendation.number}{SUFFIXES[of(facts.network).spec_format]}"


def results(facts: JobFacts, recommendation: Recommendation) -> Path:
    """The folder that a recommendation's training writes to."""
    return facts.results / f"experiment_{recommendation.number}"


def filled(facts: JobFacts, recommendation: Recommendation) -> Filled:
    """Everything that the sweep fills in. `facts.spec` holds the recommended values.

    Raises KeyError for a function that is not known.
    """
    network = of(facts.network)
    document = merge.over_default(network, facts.action, facts.spec or {})
    place = _Place(facts, recommendation, network, document)
    return Filled(
        commands=_values(network.file.sweep_commands, place),
        fields=_resumed_or_new(network, _values(network.file.sweep_fields, place)),
    )


def _resumed_or_new(network: Network, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with one of those that name weights, where the tool reads only one: what a rung goes on from."""
    resumes = [field for field, how in network.file.sweep_fields.items() if how == "automl_resume_model"]
    for group, *names in network.file.one_of:
        beside = {f"{group}.{name}" for name in names}
        if any(field in beside and field in fields for field in resumes):
            fields = {field: value for field, value in fields.items() if field in resumes or field not in beside}
    return fields


def const_value(how: str, field: str, document: merge.Document, epochs: int | None) -> Any:
    """The value of an interval, by `assign_const_value[,length[,other]]`.

    A rung of HyperBand does everything once, when it ends. Else it is the field's own value, or that of `other`, and
    no more than `length`, so that each training is validated and leaves a checkpoint. None leaves the field alone.
    """
    _, *names = how.split(",")
    if epochs is not None:
        return epochs
    own = merge.get(document, names[1] if len(names) > 1 else field)
    most = merge.get(document, names[0]) if names else None
    return min(own, most) if _is_number(own) and _is_number(most) else own


def functions() -> frozenset[str]:
    """Every function that sweeps know beside those of plain jobs; `assign_const_value` takes names after commas."""
    return frozenset({_CONST, *_FUNCTIONS})


class _Place(msgspec.Struct, frozen=True):
    """What the functions look at."""

    facts: JobFacts
    recommendation: Recommendation
    network: Network
    document: merge.Document

    def checkpoint(self) -> str | None:
        """The last checkpoint of an earlier rung of the same recommendation."""
        found = artifacts.resume(self.network, self.facts.action, results(self.facts, self.recommendation))
        return str(found) if found is not None else None

    def known(self) -> placeholders.Known:
        return placeholders.Known(self.facts, spec_path(self.facts, self.recommendation))


def _values(fields: dict[str, str], place: _Place) -> dict[str, Any]:
    values = {field: _value(how, field, fields, place) for field, how in fields.items()}
    return {field: value for field, value in values.items() if value is not None}


def _value(how: str, field: str, beside: dict[str, str], place: _Place) -> Any:
    name = how.partition(",")[0]
    if name == _CONST:
        return const_value(how, field, place.document, place.recommendation.epochs)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](place)
    return placeholders.value(how, place.known(), field, beside)


def _resume_epoch(place: _Place) -> int:
    """The first epoch that is trained: TF1 and TF2 tools count from 1, efficientdet_tf2 from 0."""
    done = place.recommendation.done_epochs
    return done if place.network.name in _COUNTS_FROM_0 else done + 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FUNCTIONS: dict[str, Any] = {
    "automl_experiment_spec": lambda p: str(spec_path(p.facts, p.recommendation)),
    "automl_output_dir": lambda p: f"{results(p.facts, p.recommendation)}/",
    "automl_resume_model": lambda p: p.checkpoint(),
    "automl_assign_ptm": lambda p: p.known().ptm(),
    "automl_ptm_if_no_resume_model": lambda p: p.checkpoint() or p.known().ptm(),
    "automl_assign_resume_epoch": _resume_epoch,
}
