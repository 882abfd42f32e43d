"""A specification that moves to another release of its network: what changes, and that the other tool takes it."""

from __future__ import annotations

import pytest

from taod.catalogue import Catalogue
from taod.catalogue.network import Network
from taod.catalogue.releases import BASE, KNOWN
from taod.catalogue.schema.merge import default, get
from taod.catalogue.schema.release_moves import _table, convert
from taod.catalogue.schema.validate import check

CATALOGUE = Catalogue()
BOTH = [name for name in CATALOGUE.names() if len(CATALOGUE.releases_of(name)) > 1]


def network(name: str, release: str) -> Network:
    found = CATALOGUE.network(name, release)
    assert found is not None
    return found


def test_renamed_moved_removed_rejected_and_new_parameters_are_listed() -> None:
    document = {
        "train": {"train_config": {"runner": {"max_epochs": 7}, "optimizer": {"type": "AdamW", "lr": 0.002}}},
        "model": {"head": {"type": "FANLinearClsHead", "num_classes": 5}, "init_cfg": {"type": "Pretrained"}},
    }
    moved = convert(
        network("classification_pyt", BASE), network("classification_pyt", "7.3"), "train", document, saved=True
    )
    assert moved.converted == {
        "train": {"num_epochs": 7, "optim": {"optim": "adamw", "lr": 0.002}}, "dataset": {"num_classes": 5},
    }  # fmt: skip
    found = {(change.kind.value, change.path, change.to) for change in moved.changes if change.kind != "new"}
    assert found == {
        ("renamed", "train.train_config.runner.max_epochs", "train.num_epochs"),
        ("renamed", "train.train_config.optimizer.type", "train.optim.optim"),
        ("moved", "train.train_config.optimizer.lr", "train.optim.lr"),
        ("moved", "model.head.num_classes", "dataset.num_classes"),
        ("removed", "model.init_cfg.type", ""),
        ("rejected", "model.head.type", ""),
    }
    new = {change.path: change.value for change in moved.changes if change.kind == "new"}
    assert new["train.optim.momentum"] == 0.9
    assert "train.num_epochs" not in new


def test_a_parameter_that_counts_in_another_unit_is_not_carried_over() -> None:
    """segformer of 5.0 counts iterations, 7.3 epochs; its means are of pixels, those of 7.3 fractions."""
    document = {
        "train": {"validation_interval": 50}, "dataset": {"img_norm_cfg": {"mean": [127.5] * 3}, "batch_size": 3},
    }  # fmt: skip
    for old, new in ((BASE, "7.3"), ("7.3", BASE)):
        moved = convert(network("segformer", old), network("segformer", new), "train", document, saved=True)
        assert get(moved.converted, "train.validation_interval") is None
    moved = convert(network("segformer", BASE), network("segformer", "7.3"), "train", document, saved=True)
    assert moved.converted == {"dataset": {"segment": {"batch_size": 3}}}


@pytest.mark.parametrize("name", BOTH)
def test_a_converted_default_validates_in_both_directions(name: str) -> None:
    known = CATALOGUE.releases_of(name)
    for old, new in ((known[0], known[-1]), (known[-1], known[0])):
        before, after = network(name, old), network(name, new)
        for action in before.actions:
            if action in after.actions and before.takes_spec(action) and after.takes_spec(action):
                moved = convert(before, after, action, default(before, action), saved=True)
                assert check(after, action, moved.converted, strict=True).violations == []


def test_known_renames_name_parameters_that_exist() -> None:
    for release, networks in _table().items():
        assert release in KNOWN
        for name, renames in networks.items():
            old = network(name, KNOWN[KNOWN.index(release) - 1])
            new = network(name, release)
            before = {path for action in old.actions for path in old.table(action).rows}
            after = {path for action in new.actions for path in new.table(action).rows}
            assert set(renames) <= before, name
            assert {to for to in renames.values() if to is not None} <= after, name
