"""Alternatives (optimisers, schedules, initial weights): the protobuf tools reject a file with two of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import JobFacts, ParentFacts
from taod.catalogue.network import get_network
from taod.catalogue.schema import merge
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.tables import index, network_file, table
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles.parse import parse

RULED = [name for name in index() if network_file(name).one_of]
PLACES = [
    (
        name,
        action,
        f"{group}." if group else "",
        [each for each in names if each in node.children and node.children[each].listed],
    )
    for name in RULED
    for action in index()[name].specs
    for group, *names in network_file(name).one_of
    if (node := table(name, action).node(group) if group else table(name, action).root) is not None
    and node.listed
    and not node.name.endswith("data_sources")
]
SGD = {"training_config": {"optimizer": {"sgd": {"momentum": 0.8}}}}


def written(tmp_path: Path, network: str, action: str, spec: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """The spec file that a job would get, read again."""
    job = JobFacts(network=network, action=action, folder=tmp_path, results=tmp_path, spec=spec, key="k", **facts)
    return parse("protobuf", assemble(job).spec_text or "", network, action)


@pytest.mark.parametrize(("name", "action", "prefix", "names"), PLACES)
def test_a_default_has_one_alternative_that_another_replaces(
    name: str, action: str, prefix: str, names: list[str]
) -> None:
    default = merge.default(name, action)
    assert len([each for each in names if merge.get(default, prefix + each) is not None]) <= 1
    for chosen in names:
        document: dict[str, Any] = {}
        merge.put(document, prefix + chosen, {"any": 1})
        whole = merge.over_default(name, action, document)
        assert [each for each in names if merge.get(whole, prefix + each) is not None] == [chosen]
    assert merge.default(name, action) == default


@pytest.mark.parametrize("name", RULED)
def test_both_validators_reject_two_alternatives(name: str) -> None:
    for network, action, prefix, names in PLACES:
        for both in combinations(names, 2) if network == name else ():
            document = merge.default(name, action)
            for each in names:
                merge.drop(document, prefix + each)
            for each in both:
                merge.put(document, prefix + each, merge.get(merge.default(name, action), prefix + each) or {})
            texts = [str(violation) for violation in check(name, action, document).violations]
            assert any("must have only one of" in each and "set them to null" in each for each in texts), both
            assert not jsonschema.Draft202012Validator(schema(name, action)).is_valid(document)
            merge.put(document, prefix + both[0], None)
            assert not any("only one of" in str(v) for v in check(name, action, document).violations)


@pytest.mark.parametrize("name", ["yolo_v3", "yolo_v4", "yolo_v4_tiny"])
@pytest.mark.parametrize("group", ["data_sources", "validation_data_sources"])
def test_a_data_source_has_labels_or_records(name: str, group: str) -> None:
    both = {"label_directory_path": "/labels", "tfrecords_path": "/records/*"}
    document = {"dataset_config": {group: [{"tfrecords_path": "/records/*"}, both]}}
    (violation,) = check(name, "train", document).violations
    assert str(violation).startswith(
        f"$.dataset_config.{group}[1]: must have only one of label_directory_path, tfrecords_path"
    )
    assert check(name, "train", {"dataset_config": {group: {"tfrecords_path": "/records/*"}}}).ok


def test_the_spec_file_has_the_requested_optimiser(tmp_path: Path) -> None:
    assert set(written(tmp_path, "yolo_v4", "train", {})["training_config"]["optimizer"]) == {"adam"}
    assert written(tmp_path, "yolo_v4", "train", SGD)["training_config"]["optimizer"] == {"sgd": {"momentum": 0.8}}


def test_an_evaluation_inherits_the_alternative_of_its_training(tmp_path: Path) -> None:
    parent = ParentFacts(
        "classification_tf1", "train", tmp_path / "above", {"train_config": {"optimizer": {"adam": {}}}}
    )
    chosen = written(tmp_path, "classification_tf1", "evaluate", {}, parent=parent)["train_config"]["optimizer"]
    assert len(chosen) <= 1
    fixed = {"model_config": {"input_image_config": {"size_min": {"min": 600}}}}
    above = ParentFacts("faster_rcnn", "train", tmp_path / "above", fixed)
    for own, expected in (
        ({}, "size_min"),
        ({"size_height_width": {"height": 320, "width": 320}}, "size_height_width"),
    ):
        spec = {"model_config": {"input_image_config": own}}
        config = written(tmp_path, "faster_rcnn", "evaluate", spec, parent=above)["model_config"]["input_image_config"]
        assert {"size_min", "size_height_width"} & set(config) == {expected}


def test_a_filled_alternative_replaces_the_users(tmp_path: Path) -> None:
    pruned = tmp_path / "pruned" / "model.hdf5"
    pruned.parent.mkdir()
    pruned.write_bytes(b"weights")
    spec = {"training_config": {"pretrain_model_path": "/mine.hdf5"}}
    parent = ParentFacts("yolo_v4", "prune", pruned.parent)
    config = written(tmp_path, "yolo_v4", "retrain", spec, parent=parent)["training_config"]
    assert (config.get("pretrain_model_path"), config["pruned_model_path"]) == (None, str(pruned))


def test_the_alternative_set_instead_of_a_parameter() -> None:
    network, default = get_network("yolo_v4_tiny"), merge.default("yolo_v4_tiny", "train")
    optimizer = "training_config.optimizer"
    assert merge.stands_for(network, default, f"{optimizer}.sgd.nesterov") == f"{optimizer}.adam"
    assert merge.stands_for(network, default, f"{optimizer}.adam.beta1") is None
    assert merge.stands_for(network, {}, f"{optimizer}.sgd.nesterov") is None
    assert merge.stands_for(network, default, "training_config.num_epochs") is None
    chosen = merge.over_default(network, "train", SGD)
    assert merge.stands_for(network, chosen, f"{optimizer}.sgd.nesterov") is None
