"""Work on long specifications is done in a thread: the event loop serves others meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taod.documents import Bounds, DocumentError, is_long, measure
from taod.errors import InvalidSpec, NotFound
from taod.services import Services
from taod.services.composition import open_services
from taod.services.jobs import spec_service
from taod.types.model import ModelCreate
from tests.patience import PATIENCE_S

LONG = {f"f{number}": 1 for number in range(2000)}


@pytest.fixture
def services(config) -> Iterator[Services]:
    opened = open_services(config)
    yield opened
    opened.store.close()


@pytest.fixture
def owner(services: Services) -> tuple[str, Any, str]:
    user = services.users.add("ada")[0].id
    return user, "model", services.models.create(user, ModelCreate("classification_pyt")).id


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], threading.Event]]:
    """Makes a function of a module wait for the event; on the event loop's thread, nothing could set it."""
    gates: list[threading.Event] = []

    def gate(module: Any, name: str) -> threading.Event:
        original, opened = getattr(module, name), threading.Event()
        gates.append(opened)

        def waits(*arguments: Any, **named: Any) -> Any:
            assert opened.wait(PATIENCE_S if threading.current_thread() is not threading.main_thread() else 0)
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, waits)
        return opened

    yield gate
    for each in gates:
        each.set()


async def test_a_long_specification_is_validated_beside_the_loop(services: Services, owner, gated) -> None:
    gate = gated(spec_service, "check")
    saving = asyncio.create_task(services.specs.post(*owner, "train", LONG))
    await asyncio.sleep(0.01)
    assert not saving.done()
    gate.set()
    assert (await saving).document == LONG


async def test_a_short_one_is_validated_at_once(services: Services, owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.snapshots, "run", None)
    assert (await services.specs.post(*owner, "train", {"a": 1})).document == {"a": 1}


async def test_changes_at_the_same_time_are_all_kept(services: Services, owner) -> None:
    await services.specs.post(*owner, "train", LONG)
    await asyncio.gather(*(services.specs.put(*owner, "train", {f"new{number}": 1}) for number in range(4)))
    assert services.specs.get(*owner, "train") == LONG | {f"new{number}": 1 for number in range(4)}


async def test_a_model_that_is_deleted_meanwhile_gets_no_specification(services: Services, owner, gated) -> None:
    gate = gated(spec_service, "check")
    saving = asyncio.create_task(services.specs.post(*owner, "train", LONG))
    await asyncio.sleep(0.01)
    await services.models.delete(owner[0], owner[2])
    gate.set()
    with pytest.raises(NotFound):
        await saving


async def test_a_fault_in_a_long_specification_is_reported(services: Services, owner) -> None:
    with pytest.raises(InvalidSpec, match="refers to nothing"):
        await services.specs.post(*owner, "train", LONG | {"a": "${nothing}"})


@pytest.mark.parametrize(
    ("value", "long"),
    [
        (LONG, True), ([1] * 501, True), ([[[1] * 499]], True), ("x" * 200_000, True), ({"a": "x" * 50_000}, False),
        ({}, False), (None, False), ([1] * 300, False), ({"a": {"b": [1, 2]}}, False),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_length_counts_values_and_characters(value: Any, long: bool) -> None:
    assert is_long(value) == long


FAULTS: dict[str, tuple[Any, str]] = {
    "values": ([1] * 20, "more than 20 values"),
    "depth": ([[[[[[[1]]]]]]], "nested more than 5 deep"),
    "key": ({"a": {"b": {1: 2}}}, r"^\$.a.b: the key 1 is not text"),
    "control character": ({"a": {"b\x1b": 2}}, r"^\$.a: the key .* holds the control character U\+001B"),
    "NUL": ({"a": ["b\0"]}, r"^\$.a: .*U\+0000"),
    "large": ({"a": 2**63}, r"^\$.a: .*outside"),
    "kind": ({"a": b""}, "has no form"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_place(name: str) -> None:
    value, fault = FAULTS[name]
    with pytest.raises(DocumentError, match=fault):
        measure(value, Bounds(20, 5))


def test_a_document_that_holds_itself_is_rejected() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(DocumentError, match="nested more than"):
        measure(value, Bounds())


def test_keys_are_counted_at_all_levels() -> None:
    assert measure({"a": [{"b": 1, "c": {}}], "d": None, "e": True, "f": 1.5}, Bounds()) == 6
