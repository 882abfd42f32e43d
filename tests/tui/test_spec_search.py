"""Searched parameters of a specification, and their ranges."""

from __future__ import annotations

from typing import Any

import pytest

from taod.client.comparison import MISSING
from tui.spec import search
from tui.spec.fields import Draft, Field, InvalidValue
from tui.spec.search import Search

SCHEMA = {
    "automl_default_parameters": ["optim.lr"],
    "properties": {
        "optim": {
            "properties": {
                "lr": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.001},
                "name": {"type": "string", "enum": ["sgd", "adam"], "default": "sgd"},
                "steps": {"type": "array"},
            }
        },
        "epochs": {"type": "integer", "minimum": 1},
        "fixed": {"type": "integer", "const": 3},
    },
    "default": {"optim": {"lr": 0.001, "name": "sgd"}, "epochs": 10, "fixed": 3},
}


def draft(**automl: Any) -> Draft:
    base = dict(SCHEMA["default"]) | ({"automl": automl} if automl else {})  # type: ignore[call-overload]
    return Draft(SCHEMA, base)


def field(name: str) -> Field:
    return next(each for each in draft().fields if each.name == name)


def test_searched_are_default_added_and_narrowed_parameters_without_the_removed_ones() -> None:
    lr, epochs = field("optim.lr"), field("epochs")
    assert Search().has(draft(), lr)
    assert not Search(remove=frozenset({"optim.lr"})).has(draft(), lr)
    assert not Search().has(draft(), epochs)
    assert Search(add=frozenset({"epochs"})).has(draft(), epochs)
    assert Search().has(draft(epochs={"min": 2}), epochs)


def test_only_numbers_and_choices_can_be_searched() -> None:
    can = {each.name: search.can_be_searched(each) for each in draft().fields}
    assert can == {"optim.lr": True, "optim.name": True, "optim.steps": False, "epochs": True, "fixed": False}


@pytest.mark.parametrize(
    ("name", "typed", "found"),
    [
        ("optim.lr", ("1e-5", "0.1", ""), {"min": 1e-5, "max": 0.1}),
        ("optim.lr", ("", "0.1", ""), {"max": 0.1}),
        ("optim.lr", ("", "", ""), None),
        ("optim.lr", ("1", "2", "0.1, 0.2"), {"values": [0.1, 0.2]}),
        ("epochs", ("2", "8", ""), {"min": 2, "max": 8}),
        ("optim.name", ("", "", "adam, sgd"), {"values": ["adam", "sgd"]}),
    ],
)
def test_a_range_is_read_as_it_is_typed(name: str, typed: tuple[str, str, str], found: Any) -> None:
    assert search.read(field(name), *typed, None) == found


@pytest.mark.parametrize(
    ("name", "typed", "why"),
    [
        ("optim.lr", ("x", "", ""), "'x' is not a number"),
        ("optim.lr", ("0.5", "0.1", ""), "from 0.5 to 0.1 is empty"),
        ("optim.lr", ("", "7", ""), "max 7 is out of range: a number, from 0 to 1"),
        ("optim.lr", ("nan", "", ""), "min nan is out of range"),
        ("optim.name", ("", "", "rmsprop"), "'rmsprop' is not one of sgd, adam"),
        ("optim.name", ("", "", "{"), "is not a list of values"),
    ],
)
def test_an_invalid_range_is_explained(name: str, typed: tuple[str, str, str], why: str) -> None:
    with pytest.raises(InvalidValue, match=why.replace("(", r"\(")):
        search.read(field(name), *typed, None)


def test_keys_without_a_field_are_kept_and_removed_with_their_range() -> None:
    before = {"min": 1e-4, "log": True}
    assert search.read(field("optim.lr"), "1e-5", "", "", before) == {"min": 1e-5, "log": True}
    assert search.read(field("optim.lr"), "", "", "", before) is None


def test_a_range_is_saved_in_the_group_of_the_sweep_and_removed_again() -> None:
    one, lr = draft(epochs={"min": 2}), field("optim.lr")
    one.put(search.range_path(lr), {"min": 1e-5})
    assert one.document()["automl"] == {"epochs": {"min": 2}, "optim.lr": {"min": 1e-5}}
    assert search.searched_range(one, lr) == {"min": 1e-5}
    one.put(search.range_path(lr), MISSING)
    assert one.changes == {}
    one.put(search.range_path(field("epochs")), MISSING)
    assert search.searched_range(one, field("epochs")) is None
    assert one.document()["automl"] == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, ""),
        ({"min": 1e-5, "max": 0.1, "log": True}, "1e-05 to 0.1, by orders of magnitude"),
        ({"max": 8, "multiple_of": 2}, "… to 8, a multiple of 2"),
        ({"values": ["a", 3]}, "one of a, 3"),
    ],
)
def test_a_range_as_text(said: Any, words: str) -> None:
    assert search.described(said) == words
