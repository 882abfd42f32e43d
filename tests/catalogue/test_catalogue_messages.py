"""The protobuf tools' messages against the parameter tables, both ways, and specifications as those tools read them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taod.catalogue.schema import merge, messages
from taod.catalogue.schema.messages import Field
from taod.catalogue.schema.normalise import normalise
from taod.catalogue.schema.tables import Node, Table, index, network_file, table
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles import emit
from taod.catalogue.specfiles.parse import parse

DECLARED = [(name, action) for name, entry in index().items() for action in entry.specs if messages.root(name, action)]
TYPES = {"string": "string", "bool": "bool", "int": "int", "uint": "int", "float": "float", "enum": "string"}
LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def nodes(node: Node) -> list[Node]:
    return [each for child in node.children.values() for each in (child, *nodes(child))]


def single(rows: Table) -> list[Node]:
    """Nodes with one place in a specification: no part of a list."""
    found, waiting = [], list(rows.root.children.values())
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not node.repeats:
            waiting += node.children.values()
    return found


def test_every_message_is_complete() -> None:
    """Each field is a scalar, an enum or a message that the data has; a map's entries have a key and a value."""
    scalars = {"string", "bool", "int", "uint", "float"}
    fields = [(name, field, what) for name in messages.names() for field, what in messages.fields(name).items()]
    assert len(messages.names()) == 187 and len(fields) == 1056
    for name, field, what in fields:
        assert what.kind in scalars or (what.kind == "enum" and what.members) or what.message, (name, field)
        if what.free_keys:
            assert set(messages.fields(what.message)) == {"key", "value"}
    assert sum(what.repeated and not what.free_keys for _, _, what in fields) == 45
    assert sum(what.free_keys for _, _, what in fields) == 24


@pytest.mark.parametrize(("name", "action"), DECLARED)
def test_tables_have_the_types_that_the_tool_declares(name: str, action: str) -> None:
    for node in nodes(table(name, action).root):
        row, field = node.parameter, node.field
        if row is None or field is None or row.type == "any":
            continue
        if field.repeated:
            assert row.type == "list" or node.name.endswith("data_sources"), row.path
        else:
            assert row.type == ("object" if field.message else TYPES[field.kind]), row.path
        if field.kind == "enum":
            assert set(row.options) == {f"__{member}__" for member in field.members}, row.path


@pytest.mark.parametrize(("name", "action"), DECLARED)
def test_one_of_rules_are_those_of_the_tool(name: str, action: str) -> None:
    """Each oneof of which the table lists several members is a rule."""
    rules = {(group, frozenset(names)) for group, *names in network_file(name).one_of}
    for node in (table(name, action).root, *nodes(table(name, action).root)):
        message = node.field.message if node.field else messages.root(name, action) if not node.path else ""
        for group in messages.one_of(message) if message else []:
            listed = {each for each in group if each in node.children and node.children[each].listed}
            if len(listed) > 1:
                assert any(path == node.path and listed <= names for path, names in rules), (node.path, group)


def _clustering(algorithm: object) -> dict[str, Any]:
    entry = {"key": "car", "postprocessing_config": {"clustering_config": {"clustering_algorithm": algorithm}}}
    return {"classwise_config": [entry]}


@pytest.mark.parametrize("algorithm", [1, "nms", "NMS", "__NMS__"])
def test_an_enum_in_an_entry_of_a_class_takes_names_in_any_case_and_numbers(algorithm: object) -> None:
    rows = table("detectnet_v2", "train")
    assert normalise(rows, _clustering(algorithm)) == _clustering("__NMS__")
    assert check("detectnet_v2", "train", _clustering(algorithm)).violations == []
    (violation,) = check("detectnet_v2", "train", _clustering("MEAN")).violations
    assert violation.rule == "must be one of DBSCAN, NMS, HYBRID"
    value = "clustering_config { clustering_algorithm: 1 }"
    text = f"postprocessing_config {{ target_class_config {{ key: 'car' value {{ {value} }} }} }}"
    (entry,) = parse("protobuf", text, "detectnet_v2", "train")["classwise_config"]
    assert entry["postprocessing_config"]["clustering_config"]["clustering_algorithm"] == "__NMS__"


@pytest.mark.parametrize(("name", "action"), DECLARED)
def test_every_enum_takes_names_in_any_case_and_numbers(name: str, action: str) -> None:
    rows = table(name, action)
    for node in single(rows):
        if node.field is None or node.field.kind != "enum":
            continue
        for member, number in node.field.members.items():
            for spelling in (member, member.lower(), f"__{member}__", f"__{member.lower()}__", number):
                document: dict[str, Any] = {}
                merge.put(document, node.path, spelling)
                assert merge.get(normalise(rows, document), node.path) == f"__{member}__"
                assert check(name, action, document).ok, (node.path, spelling)
        document = {}
        merge.put(document, node.path, "__NEVER_HEARD_OF__")
        assert not check(name, action, document).ok, node.path


@pytest.mark.parametrize(("name", "action"), DECLARED)
def test_every_repeated_scalar_given_once_is_a_list(name: str, action: str) -> None:
    values = {"string": "a", "bool": True, "int": 1, "uint": 1, "float": 1.0}
    rows = table(name, action)
    for node in single(rows):
        if node.field is not None and node.field.repeated and node.field.kind in values:
            document: dict[str, Any] = {}
            merge.put(document, node.path, values[node.field.kind])
            read = parse("protobuf", emit.emit("protobuf", document), name, action)
            assert merge.get(read, node.path) == [values[node.field.kind]], node.path


@pytest.mark.parametrize(
    ("network", "text", "expected"),
    [
        (
            "ssd",
            "training_config { num_epochs: 1 num_epochs: 2 } training_config { batch_size_per_gpu: 8 }",
            {"training_config": {"num_epochs": 2, "batch_size_per_gpu": 8}},
        ),
        (
            "ssd",
            "training_config { regularizer { type: l1 weight: 1.0 } regularizer { type: 0 } }",
            {"training_config": {"regularizer": {"type": "__NO_REG__", "weight": 1.0}}},
        ),
        (
            "ssd",
            'augmentation_config { image_mean { key: "l" value: 5.0 } }',
            {"augmentation_config": {"image_mean": [{"key": "l", "value": 5.0}]}},
        ),
        (
            "detectnet_v2",
            "model_config { freeze_blocks: 0 } model_config { freeze_blocks: [1, 2] num_layers: 18 }",
            {"model_config": {"freeze_blocks": [0, 1, 2], "num_layers": 18}},
        ),
        (
            "ssd",
            'training_config { visualizer { wandb_config { tags: "a" mode: OFFLINE } } }',
            {"training_config": {"visualizer": {"wandb_config": {"tags": ["a"], "mode": "__OFFLINE__"}}}},
        ),
        ("ssd", "\ufeffrandom_seed: 7", {"random_seed": 7}),
    ],
)
def test_a_repeated_scalar_or_message_follows_protobufs_rule(network: str, text: str, expected: dict[str, Any]) -> None:
    assert parse("protobuf", text, network, "train") == expected
    assert check(network, "train", expected).ok


def scalars(field: Field) -> st.SearchStrategy[Any]:
    if field.kind == "enum":
        return st.sampled_from([f"__{member}__" for member in field.members])
    return {
        "string": st.text(LETTERS, max_size=8).filter(lambda text: not text.startswith("__")),
        "bool": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "uint": st.integers(0, 2**32 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
    }[field.kind]


@st.composite
def documents(draw: st.DrawFn, message: str, depth: int = 0) -> dict[str, Any]:
    """Some fields of a message with values that it can have."""
    fields = messages.fields(message)
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True)) if fields else []
    document: dict[str, Any] = {}
    for name in chosen:
        field = fields[name]
        one = documents(field.message, depth + 1) if field.message else scalars(field)
        document[name] = draw(st.lists(one, min_size=1, max_size=3) if field.repeated else one)
    return document


@pytest.mark.parametrize(("name", "action"), [pair for pair in DECLARED if pair[0] != "detectnet_v2"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_written_messages_are_read_back(name: str, action: str, data: st.DataObject) -> None:
    root = messages.root(name, action)
    assert root is not None
    document = normalise(table(name, action), data.draw(documents(root)))
    assert parse("protobuf", emit.emit("protobuf", document), name, action) == document
