"""The search algorithms of sweeps by name: who proposes values, and how trials are given their epochs."""

from __future__ import annotations

import msgspec


class Algorithm(msgspec.Struct, frozen=True):
    """One way to search: a proposer of values and a schedule of epochs, each known by a word."""

    name: str
    sampler: str
    """`gp`, `tpe`, `cmaes` or `random`."""
    schedule: str
    """`whole` (every trial trains to the end), `median` (bad ones are stopped), `hyperband`, `asha` or `population`."""

    @property
    def in_rungs(self) -> bool:
        """Whether trials train for a part of their epochs first, and continue from a checkpoint."""
        return self.schedule in ("hyperband", "asha", "population")

    @property
    def fields(self) -> tuple[str, ...]:
        """The model's fields that bound it."""
        by_brackets = ("automl_R", "automl_nu", "epoch_multiplier")
        return {
            "hyperband": by_brackets,
            "asha": ("automl_max_recommendations", *by_brackets),
            "population": ("automl_max_recommendations", "automl_R", "epoch_multiplier"),
        }.get(self.schedule, ("automl_max_recommendations",))


ALGORITHMS = {
    algorithm.name.casefold(): algorithm
    for algorithm in (
        Algorithm("Bayesian", "gp", "whole"),
        Algorithm("HyperBand", "random", "hyperband"),
        Algorithm("ASHA", "random", "asha"),
        Algorithm("BOHB", "tpe", "hyperband"),
        Algorithm("PBT", "random", "population"),
        Algorithm("TPE", "tpe", "whole"),
        Algorithm("CMAES", "cmaes", "whole"),
        Algorithm("Random", "random", "whole"),
        Algorithm("Median", "tpe", "median"),
    )
}
"""By name, whatever its case; the reference's two first."""
DEFAULT = "Bayesian"


def find(name: str | None) -> Algorithm | None:
    """The algorithm of that name, in any case and with `-` or `_` between its words; without a name, the default."""
    return ALGORITHMS.get((name or DEFAULT).casefold().replace("-", "").replace("_", ""))
