"""Every network and action: valid schema and default, and specification files that survive a round trip."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jsonschema
import pytest
import yaml

from taod.catalogue import Catalogue
from taod.catalogue.commands import command, placeholders
from taod.catalogue.network import get_network
from taod.catalogue.schema import classwise, descriptions, merge
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.tables import index, network_file, table
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles import emit

EVERY = [(name, action) for name, entry in index().items() for action in entry.specs]
VALIDATOR = jsonschema.Draft202012Validator


def test_numbers_of_networks_actions_and_parameters() -> None:
    catalogue = Catalogue()
    assert len(catalogue.names()) == 40
    assert len(EVERY) == 204
    assert sum(len(table(n, a).rows) for n, a in EVERY) == 10_261  # 10,290 lines, 29 of them said twice


@pytest.mark.parametrize(("name", "action"), EVERY, ids=lambda value: value)
def test_schema_and_default_are_valid(name: str, action: str) -> None:
    made = schema(name, action)
    VALIDATOR.check_schema(made)
    expected = {"size_x", "size_y"} if (name, action) == ("object_detection", "kmeans") else set()
    texts = [error.message for error in VALIDATOR(made).iter_errors(made["default"])]
    assert {message.split("'")[1] for message in texts} == expected
    checked = check(name, action, made["default"], strict=True)
    assert {violation.path.removeprefix("$.") for violation in checked.violations} == expected
    assert set(merge.missing(name, action, {})) == expected
    assert checked.warnings == []


@pytest.mark.parametrize(("name", "action"), EVERY, ids=lambda value: value)
def test_spec_files_survive_a_round_trip(name: str, action: str) -> None:
    document = merge.default(name, action)
    spec_format = index()[name].spec_format
    if spec_format == "yaml":
        assert yaml.safe_load(emit.emit("yaml", document)) == document
    else:
        spread = classwise.split(document)
        assert parse_protobuf(emit.protobuf_text(spread)) == repeated(spread)


def test_protobufs_own_tokenizer_reads_what_is_written() -> None:
    text_format = pytest.importorskip("google.protobuf.text_format")
    for name, action in EVERY:
        if index()[name].spec_format == "protobuf":
            text = emit.protobuf_text(classwise.split(merge.default(name, action)))
            tokens = text_format.Tokenizer(text.splitlines())
            while not tokens.AtEnd():
                tokens.NextToken()


@pytest.mark.parametrize("name", list(index()))
def test_every_field_names_a_known_function(name: str) -> None:
    file = network_file(name)
    for fields in (*file.commands.values(), *file.fields.values()):
        assert set(fields.values()) <= placeholders.functions()


@pytest.mark.parametrize(("name", "action"), EVERY, ids=lambda value: value)
def test_comparisons_name_parameters(name: str, action: str) -> None:
    for rule in table(name, action).comparisons:
        assert rule.operator in ("<", "<=", ">", ">=", "!=", "/")


def test_hidden_parameters_are_accepted_and_not_shown() -> None:
    shown = schema("classification_pyt", "train")["properties"]
    assert "results_dir" not in shown
    assert "data_prefix" not in shown["dataset"]["properties"]["data"]["properties"]["train"]["properties"]
    given = {"train": {"train_config": {"resume_training_checkpoint_path": "/x.pth"}}}
    assert check("classification_pyt", "train", given, strict=True).ok


def test_the_training_schema_of_the_main_network() -> None:
    made = schema("classification_pyt", "train")
    rate = made["properties"]["train"]["properties"]["train_config"]["properties"]["optimizer"]["properties"]["lr"]
    assert (rate["type"], rate["minimum"], rate["maximum"], rate["default"]) == ("number", 0, 1, 0.001)
    assert rate["title"] == "Learning rate"
    assert made["automl_default_parameters"] == ["train.train_config.optimizer.weight_decay"]
    decay = made["properties"]["train"]["properties"]["train_config"]["properties"]["optimizer"]["properties"]
    assert "maximum" not in decay["weight_decay"]


@pytest.mark.parametrize("action", index()["classification_pyt"].specs)
def test_each_parameter_of_the_main_network_is_described(action: str) -> None:
    described = {path for path in table("classification_pyt", action).rows if descriptions.described(path)}
    undescribed = [path for path in table("classification_pyt", action).rows if path not in described]
    assert undescribed == []


def test_the_default_has_the_classes_of_the_dataset() -> None:
    made = schema("classification_pyt", "train", classes=["cat", "dog"])
    assert made["default"]["model"]["head"]["num_classes"] == 2
    detector = merge.default("detectnet_v2", "train", ["car", "person"])
    assert [entry["key"] for entry in detector["classwise_config"]] == ["car", "person"]
    assert detector["dataset_config"]["target_class_mapping"] == [
        {"key": "car", "value": "car"},
        {"key": "person", "value": "person"},
    ]


def test_classwise_config_is_split_into_the_tools_maps() -> None:
    spread = classwise.split(merge.default("detectnet_v2", "train", ["car"]))
    assert "classwise_config" not in spread
    assert spread["bbox_rasterizer_config"]["target_class_config"][0]["key"] == "car"
    assert spread["cost_function_config"]["target_classes"][0]["name"] == "car"
    assert spread["evaluation_config"]["evaluation_box_config"][0]["key"] == "car"
    assert "clustering_config" in spread["postprocessing_config"]["target_class_config"][0]["value"]


def test_protobuf_text() -> None:
    text = emit.protobuf_text(
        {
            "a": {"flag": True, "enum": "__ADAM__", "text": 'say "hi"\n', "none": None},
            "many": [1, 2.5],
            "maps": [{"key": "x"}],
        }
    )
    assert text == (
        'a {\n  flag: true\n  enum: ADAM\n  text: "say \\"hi\\"\\n"\n}\nmany: 1\nmany: 2.5\nmaps {\n  key: "x"\n}\n'
    )
    with pytest.raises(ValueError, match="lists of lists"):
        emit.protobuf_text({"a": [[1]]})


def test_actions_of_a_dataset_depend_on_its_format() -> None:
    catalogue = Catalogue()
    kitti = catalogue.actions_for_dataset("object_detection", "kitti")
    assert kitti == ["convert", "convert_and_index", "augment", "kmeans"]
    assert catalogue.actions_for_dataset("object_detection", "coco") == [
        "convert_efficientdet_tf1",
        "convert_efficientdet_tf2",
    ]
    assert catalogue.actions_for_dataset("object_detection", "raw") == []
    assert catalogue.actions_for_dataset("image_classification", "classification_pyt") == []
    assert catalogue.actions_for_dataset("nothing", "raw") == []
    assert catalogue.network("nothing") is None


@pytest.mark.parametrize("name", sorted(index()))
def test_command_lines_and_fields_belong_to_actions_that_can_be_posted(name: str) -> None:
    """optical_inspection has no prune: release 5.0 has no script for it, and the published service lists none."""
    file = network_file(name)
    assert {action.removesuffix("_tao_deploy") for action in {**file.commands, **file.fields}} <= set(
        index()[name].actions
    )


@pytest.mark.parametrize("action", ["export", "inference"])
def test_ocdnet_reads_a_pruned_model_only_after_its_retrain(action: str) -> None:
    assert get_network("ocdnet").may_follow(action)[:2] == ["train", "retrain"]
    assert "prune" in get_network("ocdnet").may_follow("evaluate")
    assert "prune" in get_network("ocrnet").may_follow(action)


def test_options_of_a_command_line() -> None:
    assert command.options({"a": True, "b": False, "c": None, "d": 3, "e": ["x", "y"]}) == ["--a", "--d=3", "--e=x,y"]


def test_unset_values_are_dropped_at_every_depth() -> None:
    assert merge.without_nulls({"a": None, "b": {"c": None}, "d": [{"e": None, "f": 1}], "g": {}}) == {
        "d": [{"f": 1}],
        "g": {},
    }


# A reader of protobuf text as strict as these specs need, written apart from the writer.
def parse_protobuf(text: str) -> dict[str, list[Any]]:
    root: dict[str, list[Any]] = {}
    stack = [root]
    for line in text.splitlines():
        stripped = line.strip()
        assert len(line) - len(stripped) == 2 * (len(stack) - 1 - (stripped == "}"))
        if stripped == "}":
            stack.pop()
        elif stripped.endswith(" {"):
            below: dict[str, list[Any]] = {}
            stack[-1].setdefault(stripped[:-2], []).append(below)
            stack.append(below)
        else:
            field, _, value = stripped.partition(": ")
            stack[-1].setdefault(field, []).append(_scalar(value))
    assert all(a is not b for a, b in pairwise(stack)) and len(stack) == 1
    return root


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"'):
        return yaml.safe_load(text)
    if text[0].isdigit() or text[0] in "+-.":
        return float(text)
    return f"__{text}__"


def repeated(value: Any) -> Any:
    """A document as the reader gives it: each field a list, each number a float."""
    if isinstance(value, dict):
        fields = {k: [repeated(v) for v in (item if isinstance(item, list) else [item])] for k, item in value.items()}
        return {k: v for k, v in fields.items() if v}
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
