"""References within one document, as OmegaConf resolves them; other interpolations are rejected."""

from __future__ import annotations

from typing import Any

import pytest

from taod.catalogue.network import get_network
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index, table
from taod.catalogue.specfiles.parse import parse
from taod.catalogue.specfiles.references import resolve

DOCUMENT: dict[str, Any] = {"train": {"num_epochs": 5, "name": "a", "steps": [1, 2]}, "which": "num_epochs"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${train.num_epochs}", 5),
        ("${ train.num_epochs }", 5),
        ("${train.name}/${train.num_epochs}.pth", "a/5.pth"),
        ("${train.steps}", [1, 2]),
        ("${train.steps.1}", 2),
        ("${train.steps[1]}", 2),
        ("${train.${which}}", 5),
        ("${.sibling}", 7),
        ("${..train.name}", "a"),
        ("${.chain}", 5),
        (r"\${train.name}", "${train.name}"),
        (r"\\${train.name}", "\\a"),
        ("???", None),
        ("${.unset}", None),
        ("${.missing}/x", None),
        ("plain $ {text}", "plain $ {text}"),
    ],
)
def test_a_reference_is_replaced_by_its_value(value: str, expected: Any) -> None:
    group = {"sibling": 7, "chain": "${.next}", "next": "${train.num_epochs}", "unset": None, "missing": "???"}
    resolved, problems = resolve({**DOCUMENT, "group": {**group, "value": value}})
    assert (resolved["group"]["value"], problems) == (expected, [])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("${oc.env:HOME}", "would run a function"),
        ("${now:%Y}", "would run a function"),
        ("${hydra:job.name}", "would run a function"),
        ("${train.epochs}", "refers to nothing"),
        ("${train.steps.9}", "refers to nothing"),
        ("${group.value}", "refers to itself"),
        ("${.again}", "refers to itself"),
        ("${group}", "refers to itself"),
        ("${....up}", "leads above the top"),
        ("${train.name", "not closed"),
        ("${}", "is not a reference"),
        ("x${train}", "is a group or a list"),
    ],
)
def test_other_interpolations_are_rejected_with_their_path(value: str, why: str) -> None:
    _, problems = resolve({**DOCUMENT, "group": {"value": value, "again": "${.value}"}})
    found = [each for each in problems if each.path == "$.group.value"]
    assert len(found) == 1 and why in found[0].why and found[0].value == value


def test_references_cannot_make_a_small_document_a_huge_one() -> None:
    document: dict[str, Any] = {"a0": [1] * 10}
    for level in range(1, 9):
        document[f"a{level}"] = [f"${{a{level - 1}}}"] * 10
    _, problems = resolve(document)
    assert problems and "more than" in problems[-1].why


def test_a_reference_may_name_a_value_of_the_default() -> None:
    document = {"train": {"checkpoint_interval": "${train.num_epochs}"}}
    resolved, problems = resolve(document, merge.over_default("dino", "train", document))
    assert problems == []
    assert resolved["train"]["checkpoint_interval"] == merge.get(merge.default("dino", "train"), "train.num_epochs")


def test_tools_that_read_plain_yaml_resolve_nothing() -> None:
    plain = {
        name for name in index() if index()[name].spec_format == "yaml" and not get_network(name).resolves_references
    }
    assert plain == {"bpnet", "fpenet", "pointpillars"}


@pytest.mark.parametrize(("spec_format", "text"), [("yaml", "\ufefftrain: {seed: 3}"), ("json", '\ufeff{"train": {}}')])
def test_a_byte_order_mark_is_skipped(spec_format: str, text: str) -> None:
    assert set(parse(spec_format, text, "dino", "train")) == {"train"}


FREE_KEYS = [
    (name, action, row.path)
    for name, entry in index().items()
    for action in entry.specs
    for row in table(name, action).rows.values()
    if row.free_keys
]


@pytest.mark.parametrize(("name", "action", "path"), FREE_KEYS)
def test_a_map_with_free_keys_replaces_the_defaults(name: str, action: str, path: str) -> None:
    mine = {"mine": 0}
    document: dict[str, Any] = {}
    merge.put(document, path, mine)
    assert merge.get(merge.over_default(name, action, document), path) == mine
    assert mine != merge.get(merge.default(name, action), path)


def test_all_maps_with_free_keys_are_marked() -> None:
    """An object without parameters of its own has free keys, unless its keys are fixed by the tool."""
    fixed = {
        "bpnet": {"visibility_flags.mapping", "visibility_flags.value"},
        "optical_inspection": {"dataset.grid_map"},
        "pointpillars": {
            "dataset.data_split",
            "dataset.info_path",
            "dataset.point_feature_encoding",
            "model.dense_head.loss_config.loss_weights",
        },
    }
    marked = {(name, path) for name, _, path in FREE_KEYS}
    assert len(marked) == 7
    for name, entry in index().items():
        for action in entry.specs:
            for path, row in table(name, action).rows.items():
                node = table(name, action).node(path)
                if row.type == "object" and row.default and node is not None and node.field is None:
                    assert ((name, path) in marked) != (path in fixed.get(name, ())), path


@pytest.mark.parametrize(("given", "written"), [("FP16", "fp16"), ("Fp16", "fp16"), ("int8", "int8"), ("fp8", "fp8")])
def test_an_option_is_written_in_the_tools_spelling(given: str, written: str) -> None:
    text = f"gen_trt_engine: {{tensorrt: {{data_type: {given}}}}}"
    read = parse("yaml", text, "classification_pyt", "gen_trt_engine")
    assert read["gen_trt_engine"]["tensorrt"]["data_type"] == written


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"a": "${" * 20_000 + "b" + "}" * 20_000}, "nested more than 32 deep"),
        ({"a": 1, "b": "${a}" * 200_000}, "more than 50000 values"),
    ],
    ids=["nested", "many"],
)
def test_references_stop_at_their_limit(document: dict[str, Any], why: str) -> None:
    """Nested ones took a time that grows with the square of their number: 13 s for 60 KB."""
    resolved, problems = resolve(document)
    assert resolved == document
    assert len(problems) == 1 and why in problems[0].why
