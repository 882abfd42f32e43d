"""Users' specification files: round trips, and hand-written text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taod.catalogue.schema import classwise, merge
from taod.catalogue.schema.tables import Node, index, table
from taod.catalogue.schema.validate import check
from taod.catalogue.specfiles import emit
from taod.catalogue.specfiles.parse import ParseError, parse

SPECS = {name: entry.specs for name, entry in index().items() if entry.specs}
EVERY = [(name, action) for name, actions in SPECS.items() for action in actions]


def written(name: str, document: dict[str, Any], spec_format: str) -> str:
    return emit.emit(spec_format, classwise.split(document) if spec_format == "protobuf" else document)


def said(value: Any, *, protobuf: bool) -> Any:
    """A document as a format can say it: protobuf text has no word for null, nor for an empty list."""
    if isinstance(value, dict):
        kept = {k: said(v, protobuf=protobuf) for k, v in value.items()}
        return {k: v for k, v in kept.items() if not (protobuf and (v is None or v == []))}
    return [said(v, protobuf=protobuf) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "action"), EVERY, ids=lambda value: value)
def test_defaults_survive_a_round_trip(name: str, action: str) -> None:
    document = merge.default(name, action, ["car", "road sign"])
    for spec_format in {index()[name].spec_format, "json"}:
        read = parse(spec_format, written(name, document, spec_format), name, action)
        protobuf = spec_format == "protobuf"
        assert said(read, protobuf=protobuf) == said(document, protobuf=protobuf)
    assert (
        check(name, action, parse("json", emit.json_text(document), name, action)).ok
        == check(name, action, document).ok
    )


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
FREE_TEXT = st.one_of(
    WORD, st.sampled_from(["1e-4", "yes", "null", "2024-01-02", "~", "a: b", "#c", "'", '"', "é\\n", "0x10"])
)
SCALARS = {
    "int": st.integers(-(2**40), 2**40),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": st.one_of(FREE_TEXT, st.just("__ADAM__")),
}


@st.composite
def documents(draw: st.DrawFn, node: Node, protobuf: bool) -> dict[str, Any]:
    """Some of the parameters below a place, with any values of their types."""
    document: dict[str, Any] = {}
    shown = {name: child for name, child in node.children.items() if not child.hidden}
    for name in draw(st.lists(st.sampled_from(sorted(shown)), max_size=6, unique=True)) if shown else []:
        child = shown[name]
        row = child.parameter
        if child.is_list and child.children:
            document[name] = draw(st.lists(documents(child, protobuf), min_size=1, max_size=2))
        elif child.is_list:
            document[name] = draw(st.lists(st.one_of(SCALARS["int"], SCALARS["bool"], FREE_TEXT_LIST), max_size=3))
        elif child.children or row is None or row.type == "object":
            document[name] = draw(documents(child, protobuf))
        elif row.type in SCALARS:
            document[name] = draw(st.one_of(SCALARS[row.type], st.none()))
    return document


FREE_TEXT_LIST = st.one_of(st.text("abc_ /", min_size=1, max_size=6), st.just("__SGD__"))


@pytest.mark.parametrize("name", sorted(SPECS))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_documents_survive_a_round_trip(name: str, data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(SPECS[name]))
    spec_format = index()[name].spec_format
    protobuf = spec_format == "protobuf"
    document = data.draw(documents(table(name, action).root, protobuf))
    document.pop(classwise.CONFIG, None)  # spread over other parts; the defaults have it
    text = written(name, document, spec_format)
    read = parse(spec_format, text, name, action)
    assert _typed(said(read, protobuf=protobuf)) == _typed(said(document, protobuf=protobuf))
    assert written(name, read, spec_format) == text


def _typed(value: Any) -> Any:
    """Values with their kinds: 1 is not true, and numbers are equal as numbers."""
    if isinstance(value, dict):
        return {k: _typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(v) for v in value]
    return ("bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "other", value)


PEOPLE_WRITE = """
# An experiment, as the tool's manual shows it.
random_seed: 42   # a comment
dataset_config {
  data_sources: {
    tfrecords_path: "/data/" "tfrecords/*"
    image_directory_path: '/data/training'
  }
  target_class_mapping: [
    { key: "car" value: "car" },
    < key: "van"; value: "car" >
  ]
  validation_fold: 0
}
training_config {
  num_epochs: 0x50, batch_size_per_gpu: 4;
  enable_qat: False
  regularizer { type: L1 weight: 3e-09f }
  optimizer { adam { epsilon: 1e-08 beta1: .9 beta2: 999.0e-3 } }
}
classwise_note: "caf\\303\\251 \\x41\\t\\"q\\""
"""


def test_hand_written_protobuf_text() -> None:
    read = parse("protobuf", PEOPLE_WRITE, "detectnet_v2", "train")
    assert read["random_seed"] == 42
    assert read["dataset_config"] == {
        "data_sources": [{"tfrecords_path": "/data/tfrecords/*", "image_directory_path": "/data/training"}],
        "target_class_mapping": [{"key": "car", "value": "car"}, {"key": "van", "value": "car"}],
        "validation_fold": 0,
    }
    assert read["training_config"]["num_epochs"] == 80
    assert read["training_config"]["enable_qat"] is False
    assert read["training_config"]["regularizer"] == {"type": "__L1__", "weight": 3e-09}
    assert read["training_config"]["optimizer"]["adam"] == {"epsilon": 1e-08, "beta1": 0.9, "beta2": 0.999}
    assert read["classwise_note"] == 'café A\t"q"'


def test_the_tools_maps_are_gathered_into_classwise_config() -> None:
    text = """
    postprocessing_config { target_class_config { key: "car" value { clustering_config { dbscan_eps: 0.2 } } } }
    cost_function_config {
      enable_autoweighting: true
      target_classes { name: "car" class_weight: 1.0 objectives { name: "cov" initial_weight: 1.0 } }
      target_classes { name: "bus" class_weight: 8.0 }
    }
    evaluation_config { minimum_detection_ground_truth_overlap { key: "car" value: 0.7 } }
    """
    read = parse("protobuf", text, "detectnet_v2", "train")
    assert read == {
        "cost_function_config": {"enable_autoweighting": True},
        "classwise_config": [
            {
                "key": "car",
                "value": {
                    "cost_function_config": {
                        "class_weight": 1.0,
                        "objectives": [{"name": "cov", "initial_weight": 1.0}],
                    },
                    "evaluation_config": {"minimum_detection_ground_truth_overlap": 0.7},
                },
                "postprocessing_config": {"clustering_config": {"dbscan_eps": 0.2}},
            },
            {"key": "bus", "value": {"cost_function_config": {"class_weight": 8.0}}},
        ],
    }
    assert parse("protobuf", written("detectnet_v2", read, "protobuf"), "detectnet_v2", "train") == read


def test_hand_written_yaml() -> None:
    text = """
    train:
      num_epochs: 12
      optim: {lr: 2e-4, weight_decay: 1_000.5}
      resume_training_checkpoint_path:
    dataset:
      augmentation: &sizes
        scales: [480, 512]
    note: 2024-01-02
    again: *sizes
    """
    read = parse("yaml", text, "dino", "train")
    assert read["train"] == {
        "num_epochs": 12,
        "optim": {"lr": 0.0002, "weight_decay": 1000.5},
        "resume_training_checkpoint_path": None,
    }
    assert (read["note"], read["again"]) == ("2024-01-02", {"scales": [480, 512]})
    assert parse("yaml", "# nothing\n", "dino", "train") == {}


@pytest.mark.parametrize(
    ("spec_format", "text", "words"),
    [
        ("protobuf", "a {\n  b: 1\n", "line 2: a message is not closed"),
        ("protobuf", "a: 1\n}\n", "line 2: expected the name of a field, not '}'"),
        ("protobuf", "a 1\n", "line 1: expected ':' or '{' after a field's name, not '1'"),
        ("protobuf", "\na: 'x\n", 'line 2: "\'x" is not protobuf text'),
        ("protobuf", "a: -word", "'-word' is not a value"),
        ("protobuf", "a:", "expected a value, and the text ends"),
        ("protobuf", "a: [1 2]", "expected ']'"),
        ("protobuf", 'a: "\\377"', "is not UTF-8"),
        ("protobuf", "a {" * 200, "nested more than 100 deep"),
        ("protobuf", "[x]: 1", "expected the name of a field"),
        ("yaml", "a: [1,\nb: 2\n", "line 3: did not find"),
        ("yaml", "- 1\n", "a specification is a mapping"),
        ("yaml", "1: 2\n", "the key 1 is not text"),
        ("yaml", "a: !!binary aGk=\n", "has no form in a specification"),
        ("yaml", "a: !!python/name:os.system x\n", "could not determine a constructor"),
        ("yaml", "a: &a [*a]\n", "or holds itself"),
        ("yaml", "a: " + "[" * 3000, "nest"),
        ("json", "{", "truncated"),
        ("json", "[1]", "a specification is a mapping"),
    ],
    ids=lambda value: value[:20],
)
def test_a_parse_error_names_the_line(spec_format: str, text: str, words: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(spec_format, text, "detectnet_v2", "train")
    assert words in str(caught.value)


def test_a_small_text_cannot_become_a_huge_document() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ParseError, match="more than 200000 values"):
        parse("yaml", "\n".join(lines), "dino", "train")
