"""The search algorithms of sweeps by name: the sampler that proposes values, and the schedule of the trials' epochs."""

from __future__ import annotations

import msgspec


class Algorithm(msgspec.Struct, frozen=True):
    """One search algorithm: a sampler of values and a schedule of epochs."""

    name: str
    sampler: str
    """`gp`, `tpe`, `cmaes` or `random`."""
    schedule: str
    """`whole` (every trial trains to the end), `median` (stops trials worse than the median), `hyperband`, `asha` or
    `population`."""

    @property
    def in_rungs(self) -> bool:
        """Whether trials first train for a part of their epochs and may continue from a checkpoint."""
        return self.schedule in ("hyperband", "asha", "population")

    @property
    def fields(self) -> tuple[str, ...]:
        """The model's fields that set its bounds."""
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
"""Algorithms by name; the two of the published API first."""
DEFAULT = "Bayesian"


def find(name: str | None) -> Algorithm | None:
    """The algorithm of a name in any letter case, with `-` or `_` between words; the default without a name; None for
    an unknown name."""
    return ALGORITHMS.get((name or DEFAULT).casefold().replace("-", "").replace("_", ""))
