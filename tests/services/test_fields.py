"""Fields with several spellings, and fields that may not change."""

from __future__ import annotations

import pytest

from taod.errors import BadRequest
from taod.services.resources import name_list, take_immutable
from taod.types.dataset import DatasetLink


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("[]", "[]"),
        ("", "[]"),
        ("['a.b', 'c']", '["a.b", "c"]'),
        ('["a.b"]', '["a.b"]'),
        (["a.b"], '["a.b"]'),
    ],
)
def test_lists_of_parameters_are_accepted_as_lists_and_text(sent, kept) -> None:
    assert name_list("automl_add_hyperparameters", sent) == kept


@pytest.mark.parametrize("sent", ["a.b", "{}", "[1]", "__import__('os')", pytest.param("[" * 5000, id="deep")])
def test_only_lists_of_names_are_accepted(sent) -> None:
    with pytest.raises(BadRequest, match="automl_add_hyperparameters"):
        name_list("automl_add_hyperparameters", sent)


def test_an_immutable_field_accepts_its_present_value() -> None:
    record = DatasetLink(path="a")
    fields = {"path": "a", "name": "n"}
    take_immutable(fields, record, "path")
    assert fields == {"name": "n"}
    with pytest.raises(BadRequest, match="path cannot be changed: it is 'a', 'b' was given"):
        take_immutable({"path": "b"}, record, "path")
