"""A long YAML text is written and read without holding the interpreter's lock for long, and means the same."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from taod import documents
from taod.catalogue.specfiles import parse_process
from taod.documents import read_yaml, write_yaml

keys = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6) | st.just("k" * 200)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.characters(codec="ascii"), max_size=12).map(
        lambda text: "".join(each for each in text if each.isprintable())
    ),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=40,
)  # fmt: skip


@given(values)
def test_written_in_pieces_it_is_the_same(value: Any) -> None:
    whole = write_yaml(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_LONG_VALUES", 2)
        pieces = write_yaml(value)
    assert read_yaml(pieces) == read_yaml(whole) == value


def test_the_usual_text_of_a_long_document_is_that_of_the_library() -> None:
    document = {"a": {"names": [f"class {n}" for n in range(3000)]}, "b": 1, "c": [{"d": [1] * 900, "e": {}}] * 3}
    text = yaml.dump(document, Dumper=documents._Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    assert write_yaml(document) == text


@pytest.mark.parametrize(
    "document",
    [
        {f"f{n}": 1 for n in range(19_000)},
        {"names": [f"class {n}" for n in range(19_000)]},
        {"a": {"b": [{"c": {f"f{n}": n for n in range(9_000)}}, [[1] * 9_000]]}},
        {"k" * 200: {"l" * 200: [1] * 9_000}},
    ],
    ids=["fields", "list", "nested", "long keys"],
)
def test_the_library_writes_small_pieces(document: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    piece = documents._piece

    def measured(part: Any, width: int) -> str:
        written.append(documents._weight(part, 10**9))
        return piece(part, width)

    monkeypatch.setattr(documents, "_piece", measured)
    assert read_yaml(write_yaml(document)) == document
    assert max(written) <= 2 * documents._LONG_VALUES


def test_a_long_text_is_read_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"names": [f"class {n}" for n in range(2000)]}
    text = write_yaml(document).encode()
    monkeypatch.setattr(parse_process, "read_yaml", None)
    assert parse_process.read_yaml_apart(text) == document


@pytest.mark.parametrize("text", [b"a: [" * 5000, b"a: 1\na: 2\n" * 900, b"\xff" * 5000, b"{" * 3000])
def test_an_invalid_one_is_rejected(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_process.read_yaml_apart(text)


def test_the_documentation_is_written_once_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from taod.api.routes import docs

    calls: list[str] = []
    docs._written_once.cache_clear()
    dump = yaml.safe_dump
    monkeypatch.setattr(yaml, "safe_dump", lambda *a, **k: calls.append("yaml") or dump({"a": 1}))
    threads = [threading.Thread(target=docs._written, args=("yaml",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["yaml"]
    docs._written_once.cache_clear()
