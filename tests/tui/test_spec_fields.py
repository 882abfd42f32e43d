"""A specification as fields: parsing, rejected values, and the saved document."""

from __future__ import annotations

from typing import Any

import pytest

from taod.catalogue import Catalogue
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.validate import check
from taod.client.comparison import MISSING
from tui.spec.fields import Draft, Field, InvalidValue, at, fields, written

SCHEMA: dict[str, Any] = {
    "type": "object",
    "automl_default_parameters": ["train.lr"],
    "default": {"train": {"lr": 0.1, "epochs": 10, "optim": "sgd"}, "sizes": [1, 2]},
    "properties": {
        "train": {
            "type": "object",
            "required": ["epochs"],
            "properties": {
                "lr": {"type": "number", "minimum": 0, "maximum": 1, "title": "Learning rate"},
                "epochs": {"type": "integer", "minimum": 1},
                "optim": {"type": "string", "enum": ["sgd", "adam"]},
                "amp": {"type": "boolean"},
                "width": {"type": "integer", "multipleOf": 32},
            },
        },
        "sizes": {"type": "array"},
        "note": {"type": "string"},
    },
}


def field(name: str) -> Field:
    return next(each for each in fields(SCHEMA) if each.name == name)


def test_every_parameter_is_a_field_in_the_schemas_order() -> None:
    assert [each.name for each in fields(SCHEMA)] == [
        "train.lr", "train.epochs", "train.optim", "train.amp", "train.width", "sizes", "note",
    ]  # fmt: skip
    assert field("train.epochs").required
    assert field("train.lr").swept


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("train.lr", "1e-3", 0.001), ("train.lr", " 1 ", 1), ("train.epochs", "3", 3), ("train.optim", "adam", "adam"),
        ("train.amp", "true", True), ("train.amp", "False", False), ("sizes", "[3, 4]", [3, 4]),
        ("note", " a b ", "a b"), ("train.width", "64", 64),
    ],
)  # fmt: skip
def test_what_is_typed_becomes_a_value(name: str, text: str, value: object) -> None:
    assert field(name).read(text) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("train.lr", "x", "'x' is not a number, from 0 to 1"),
        ("train.lr", "2", "2 is not a number, from 0 to 1"),
        ("train.lr", "nan", "NaN is not a number, from 0 to 1"),
        ("train.epochs", "1.5", "'1.5' is not a whole number, 1 or more"),
        ("train.epochs", "0", "0 is not a whole number, 1 or more"),
        ("train.optim", "rmsprop", "'rmsprop' is not one of sgd, adam"),
        ("train.amp", "maybe", "'maybe' is not true or false"),
        ("train.width", "33", "33 is not a whole number, a multiple of 32"),
        ("sizes", "3", "3 is not a list; write it as [1, 2, 3]"),
        ("sizes", "[3", "'[3' is not a list"),
    ],
)
def test_invalid_values_are_rejected_with_the_rule(name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidValue) as error:
        field(name).read(text)
    assert str(error.value) == words


def test_a_draft_saves_the_base_with_its_changes_and_drops_reverted_ones() -> None:
    draft = Draft(SCHEMA, {"train": {"lr": 0.1, "epochs": 5, "kept": "unknown"}, "sizes": [1, 2]}, saved=True)
    draft.change(field("train.lr"), "0.2")
    draft.change(field("train.amp"), "true")
    draft.change(field("train.epochs"), "7")
    draft.change(field("train.epochs"), "5")
    assert draft.changes == {("train", "lr"): 0.2, ("train", "amp"): True}
    draft.change(field("sizes"), "")
    assert draft.document() == {"train": {"lr": 0.2, "epochs": 5, "kept": "unknown", "amp": True}}
    assert draft.base["sizes"] == [1, 2]
    assert draft.differs(field("train.epochs"))
    draft.reset(field("train.epochs"))
    assert draft.document()["train"]["epochs"] == 10
    with pytest.raises(InvalidValue, match=r"train\.epochs needs a value: a whole number, 1 or more"):
        draft.change(field("train.epochs"), " ")


def test_every_default_of_the_catalogue_reads_back_as_itself_and_saves_valid() -> None:
    catalogue = Catalogue()
    for name, action in (("classification_pyt", "train"), ("detectnet_v2", "train"), ("dino", "train")):
        network = catalogue.network(name)
        assert network is not None
        document = schema(network, action)
        draft = Draft(document, document["default"])
        assert len(draft.fields) > 20
        for one in draft.fields:
            value = at(document["default"], one.path)
            if value is not MISSING and value is not None:
                assert one.read(written(value)) == value, one.name
                draft.change(one, written(value))
        assert draft.changes == {}
        assert not check(network, action, draft.document(), strict=True).violations
