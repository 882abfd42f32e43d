"""Bodies become Structs, or an error that names the field and the value."""

from __future__ import annotations

import pytest

from taod.api.request_parsing import to_struct
from taod.api.routes.jobs import to_runs
from taod.errors import BadRequest
from taod.types.dataset import Dataset, DatasetPatch
from taod.types.job import JobRun
from taod.types.model import Model, ModelCreate


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"naem": "x"}, "'naem' is unknown, did you mean 'name'"),
        ({"zzz": 1, "naem": "x"}, "fields 'zzz' is unknown; 'naem' is unknown"),
        ({"id": "x"}, "'id' cannot be set or changed"),
        ({"name": 5}, "name = 5: Expected str, got int"),
        ({"name": None}, "name = null: Expected str"),
    ],
)
def test_a_wrong_field_is_named(document, words) -> None:
    with pytest.raises(BadRequest) as rejected:
        to_struct(document, DatasetPatch, answer=Dataset)
    assert words in rejected.value.description


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"ptm": ["a", 3]}, "ptm[1] = 3: Expected str, got int"),
        ({"automl_R": 0}, "automl_R = 0: Expected int >= 1"),
        ({"automl_enabled": "yes"}, 'automl_enabled = "yes": Expected bool, got str'),
    ],
)
def test_nested_values_and_bounds_are_named(document, words) -> None:
    with pytest.raises(BadRequest) as rejected:
        to_struct(document, ModelCreate, answer=Model)
    assert words in rejected.value.description


def test_a_run_is_an_array_or_one_object() -> None:
    one = {"job": None, "actions": ["train"]}
    assert to_runs(one) == to_runs([one]) == [JobRun(actions=["train"])]
    assert to_runs({"actions": ["train"]}) == [JobRun(actions=["train"])]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected"),
        ("train", "expected"),
        ({}, "actions"),
        ([{"actions": ["a"]}, {"actions": "train"}], '[1].actions = "train": Expected array, got str'),
        ([{"actions": ["a"], "jobb": None}], "[0].'jobb' is unknown, did you mean 'job'?"),
    ],
)
def test_a_wrong_run_names_the_entry(document, words) -> None:
    with pytest.raises(BadRequest) as rejected:
        to_runs(document)
    assert words in rejected.value.description
