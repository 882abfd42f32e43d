"""Sweeps: settings, trials, and the searched parameters."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.types.common import Id, Timestamp
from taod.types.state import State

Values = dict[str, Any]
"""Dotted path of a parameter → its value."""


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter that is searched."""

    path: str
    kind: str
    """`float`, `int`, `choice` or `ordered` (choices with an order)."""
    low: float | None = None
    high: float | None = None
    log: bool = False
    """Searched on a logarithmic scale."""
    multiple_of: int | None = None
    power_of: int | None = None
    choices: list[Any] = []
    default: Any = None
    below: list[str] = []
    """Parameters whose values must be above this one's."""
    above: list[str] = []
    """Parameters whose values must be below this one's."""


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that a sweep was started with; later changes of the model do not affect them."""

    algorithm: str
    metric: str
    minimise: bool
    max_recommendations: int = 20
    R: int = 27
    nu: int = 3
    epoch_multiplier: int = 1
    delete_checkpoints: bool = False
    max_parallel: int = 1
    """Trials that may be open at once."""
    epochs: int | None = None
    """Epochs in the specification; None if the network has no field for them."""
    value: str = "last"
    """`last` or `best`: which epoch's value counts."""
    patience: int = 0
    max_epochs: int = 0
    max_hours: float = 0.0
    population: int = 4
    try_default: bool = True
    site: str = ""
    """Where trials run: empty for this machine's devices, else the id of a cluster's device."""


class TrialView(msgspec.Struct, kw_only=True):
    """One trial: its parameter values and its outcome."""

    number: int
    job_id: Id | None
    """Its job; null if the job was deleted."""
    params: Values
    value: float | None = None
    """Its value of the sweep's metric."""
    epochs: int = 0
    """Epochs trained, over all rungs."""
    state: State | None = None
    """State of its job."""
    outcome: str = "open"
    """`open`, `done`, `failed`, `pruned` or `cancelled`."""
    reason: str = ""
    rung: int = 0
    bracket: int = 0
    source: int | None = None
    """The trial whose checkpoint it started from."""


class Importance(msgspec.Struct):
    """Share of the metric's variation explained by one parameter; the shares of a sweep sum to 1."""

    parameter: str
    importance: float


class SweepView(msgspec.Struct, kw_only=True):
    """A sweep as a dashboard shows it."""

    job_id: Id
    state: State
    reason: str
    algorithm: str
    sampler: str
    """`gp`, `tpe`, `cmaes` or `random`."""
    metric: str
    direction: str
    """`minimise` or `maximise`."""
    best: int | None
    """Number of the best trial so far."""
    best_value: float | None
    best_params: Values | None
    trials: list[TrialView]
    planned: int | None
    """Planned number of trials, if known."""
    space: list[Dimension]
    notes: list[str]
    """Parameters that are not searched, with the reason."""
    importances: list[Importance]
    epochs_trained: int
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    max_parallel: int = 1
