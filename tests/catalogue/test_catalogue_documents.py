"""YAML is read as the tools read it, and written so that all tools read it alike."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from taod.catalogue.specfiles.parse import parse
from taod.cli.support import documents
from taod.documents import DocumentError, read_value, read_yaml, write_yaml

# What Hydra 1.3 with OmegaConf 2.3 makes of each scalar in a file; noted from running them.
IN_A_FILE: list[tuple[str, Any]] = [
    ("1e-4", 0.0001),
    ("1E+5", 100000.0),
    (".5e+3", 500.0),
    (".5e3", ".5e3"),
    ("-.5", "-.5"),
    ("1.", 1.0),
    ("1_000", 1000),
    ("1_0.5", 10.5),
    ("010", 8),
    ("0x10", 16),
    ("0o17", "0o17"),
    ("1:30", 90),
    ("1:30.5", 90.5),
    (".inf", float("inf")),
    ("inf", "inf"),
    ("no", False),
    ("On", True),
    ("y", "y"),
    ("~", None),
    ("NULL", None),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01 10:11:12", "2024-01-01 10:11:12"),
]
# The same for `key=value` on a command line.
ON_A_COMMAND_LINE: list[tuple[str, Any]] = [
    ("1e-4", 0.0001),
    ("+3", 3),
    ("3.", 3.0),
    (".5", 0.5),
    ("TRUE", True),
    ("null", None),
    ("no", "no"),
    ("None", "None"),
    ("010", "010"),
    ("0x10", "0x10"),
    ("12:30", "12:30"),
    ("", ""),
    ("[1, 2e-3, cat]", [1, 0.002, "cat"]),
    ("'no'", "no"),
    ("{a: no}", {"a": False}),
]


@pytest.mark.parametrize(("text", "value"), IN_A_FILE)
def test_scalars_of_a_file_are_read_as_by_the_tools(text: str, value: Any) -> None:
    read = read_yaml(f"key: {text}")["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(("text", "value"), ON_A_COMMAND_LINE)
def test_command_line_values_are_read_as_by_hydra(text: str, value: Any) -> None:
    read = read_value(text)
    assert (read, type(read)) == (value, type(value))


def test_the_daemon_and_the_client_read_the_same() -> None:
    text = "".join(f"k{place}: {scalar}\n" for place, (scalar, _) in enumerate(IN_A_FILE))
    posted = parse("yaml", text, "dino", "train")
    assert posted == documents.read(text.encode(), "a file")
    assert posted == documents.read(b"\xef\xbb\xbf" + text.encode(), "a file")


def test_a_duplicate_key_is_rejected_with_its_line() -> None:
    with pytest.raises(DocumentError, match="line 3: 'lr' is given twice; keep one of them"):
        read_yaml("train:\n  lr: 1\n  lr: 2\n")
    assert read_yaml("base: &base {lr: 1, momentum: 2}\ntrain: {<<: *base, lr: 3}\n")["train"] == {
        "lr": 3,
        "momentum": 2,
    }


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    st.text("0123456789+-._eE:xobTnyN~", max_size=7),
    st.sampled_from([scalar for scalar, _ in IN_A_FILE]),
)
KEYS = st.text("abc_0:. ~#", max_size=5)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=3)),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(document=DOCUMENTS)
def test_written_yaml_is_read_alike_by_both_kinds_of_tools(document: dict[str, Any]) -> None:
    text = write_yaml(document)
    assert read_yaml(text) == document
    assert yaml.safe_load(text) == document
    assert write_yaml(read_yaml(text)) == text


def test_shared_values_are_written_without_anchors() -> None:
    size = [1, 2]
    assert "&" not in write_yaml({"a": size, "b": size})
