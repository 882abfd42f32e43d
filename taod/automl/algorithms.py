"""The search algorithms by name: who proposes values, and how trials are given their epochs. Imports nothing heavy."""

from __future__ import annotations

import msgspec

from taod.errors import BadRequest


class Algorithm(msgspec.Struct, frozen=True):
    """One way to search: a proposer of values and a schedule of epochs, each known by a word."""

    name: str
    sampler: str
    """`gp`, `tpe`, `cmaes` or `random`."""
    schedule: str
    """`whole` (every trial trains to the end), `median` (bad ones are stopped), `hyperband`, `asha` or `population`."""

    @property
    def in_rungs(self) -> bool:
        """Whether trials train for a part of their epochs first, and go on from a checkpoint."""
        return self.schedule in ("hyperband", "asha", "population")


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


def algorithm(name: str | None) -> Algorithm:
    """The algorithm of that name, in any case and with `-` or `_` between its words; None: the default.

    Raises BadRequest naming all that there are.
    """
    found = ALGORITHMS.get((name or DEFAULT).casefold().replace("-", "").replace("_", ""))
    if found is None:
        known = ", ".join(each.name for each in ALGORITHMS.values())
        raise BadRequest(f"automl_algorithm {name!r} is not known; one of {known}")
    return found
