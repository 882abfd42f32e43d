"""Looks up search algorithms by name."""

from __future__ import annotations

from taod.errors import BadRequest
from taod.types.algorithm import ALGORITHMS, DEFAULT, Algorithm, find

__all__ = ["ALGORITHMS", "DEFAULT", "Algorithm", "algorithm"]


def algorithm(name: str | None) -> Algorithm:
    """The algorithm with this name (ignoring case, `-` and `_` are equal); None: the default.

    Raises BadRequest naming all algorithms.
    """
    found = find(name)
    if found is None:
        known = ", ".join(each.name for each in ALGORITHMS.values())
        raise BadRequest(f"automl_algorithm {name!r} is not known; one of {known}")
    return found
