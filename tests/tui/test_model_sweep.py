"""The fields of the model form for sweeps: algorithms, bounds, parameter names."""

from __future__ import annotations

import pytest

from taod.types.algorithm import ALGORITHMS
from taod.types.model import ModelCreate
from taod.types.network import ParameterInfo
from tui.models.sweep import BOUNDS, Paths, named, searchable


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda each: each.name)
def test_every_bound_of_an_algorithm_has_a_field(algorithm) -> None:
    offered = {field: least for field, _, least, _ in BOUNDS}
    assert set(algorithm.fields) <= set(offered)
    assert ("automl_R" in algorithm.fields) == algorithm.in_rungs
    for field in algorithm.fields:
        assert getattr(ModelCreate(), field) >= offered[field]


@pytest.mark.parametrize(
    ("stored", "found"), [("[]", []), ('["a", "b"]', ["a", "b"]), ("", []), ("{}", []), ("a, b", []), ("[1]", [])]
)
def test_names_are_read_from_the_stored_text(stored: str, found: list[str]) -> None:
    assert named(stored) == found


def test_lists_constants_and_free_texts_cannot_be_searched() -> None:
    def one(**given: object) -> ParameterInfo:
        return ParameterInfo("a.b", "b", "", **({"type": "int"} | given))  # type: ignore[arg-type]

    assert searchable(one())
    assert searchable(one(type="string", options=["a", "b"]))
    wrong = [one(type="string"), one(type="list"), one(constant=True), one(hidden=True)]
    assert not any(searchable(each) for each in wrong)


async def test_the_last_of_several_names_is_completed() -> None:
    paths = Paths()
    paths.known = ["optim.lr", "optim.momentum"]
    assert await paths.get_suggestion("optim.lr, optim.m") == "optim.lr, optim.momentum"
    assert await paths.get_suggestion("optim.lr, ") is None
    assert await paths.get_suggestion("optim.lr") is None
    assert await paths.get_suggestion("nothing") is None
