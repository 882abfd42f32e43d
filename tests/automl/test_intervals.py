"""Intervals of a trial's training, and the networks that can be swept."""

from __future__ import annotations

import pytest

from taod.automl.fidelity import for_rung, interval
from taod.catalogue.schema.merge import get
from taod.catalogue.schema.tables import index, network_file

SWEPT = [name for name in index() if network_file(name).sweep_commands or network_file(name).sweep_fields]


def test_all_networks_with_a_training_but_mal_can_be_swept() -> None:
    assert len(SWEPT) == 30
    assert {name for name in index() if "train" in index()[name].specs} - set(SWEPT) == {"mal"}


@pytest.mark.parametrize("name", SWEPT)
def test_a_rung_of_hyperband_leaves_a_checkpoint_at_its_end(name: str) -> None:
    document = for_rung(name, {}, epochs=27, done_epochs=0)
    fields = [f for f, how in network_file(name).sweep_fields.items() if how.startswith("assign_const_value,")]
    assert {get(document, field) for field in fields} <= {27}


INTERVAL = "assign_const_value,train.num_epochs"
VALIDATION = "assign_const_value,train.num_epochs,train.checkpoint_interval"


@pytest.mark.parametrize(
    ("how", "train", "epochs", "expected"),
    [
        (INTERVAL, {"num_epochs": 12, "validation_interval": 5}, None, 5),
        (INTERVAL, {"num_epochs": 3, "validation_interval": 5}, None, 3),
        (INTERVAL, {"validation_interval": 5}, None, 5),
        (INTERVAL, {"num_epochs": 12}, None, None),
        (INTERVAL, {"num_epochs": 12, "validation_interval": 5}, 9, 9),
        (VALIDATION, {"num_epochs": 12, "validation_interval": 5, "checkpoint_interval": 2}, None, 2),
        (VALIDATION, {"num_epochs": 1, "validation_interval": 5, "checkpoint_interval": 2}, None, 1),
        (VALIDATION, {"num_epochs": 12, "checkpoint_interval": 2}, 27, 27),
        ("assign_const_value", {"validation_interval": 5}, None, 5),
        ("assign_const_value", {}, None, None),
        ("assign_const_value", {}, 3, 3),
    ],
)
def test_intervals(how: str, train: dict[str, int], epochs: int | None, expected: int | None) -> None:
    assert interval(how, "train.validation_interval", {"train": train}, epochs) == expected
