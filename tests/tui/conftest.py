"""Fixtures of the dashboard's tests: a server on a socket with a few jobs, and the dashboard on it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet

from taod.client import AsyncClient
from taod.types.job import Graphical, Result
from taod.types.state import State
from tests.patience import PATIENCE_S
from tui.app import Dashboard


def load_server() -> ModuleType:
    """The contract server, which is neither a test nor in a package."""
    name = "taod_contract_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("contract_server.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session", autouse=True)
def parsed_styles() -> Iterator[None]:
    """Parse each style sheet once per process, not once per dashboard: half of a dashboard's start."""
    parse, parsed = Stylesheet._parse_rules, {}

    def parse_once(sheet: Stylesheet, *source: Any, **more: Any) -> Any:
        key = (source, *more.items(), *sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, *source, **more)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        yield


@pytest.fixture
def contract() -> ModuleType:
    return load_server()


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    """A server without jobs."""
    running = load_server().ContractServer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def world(server: Any) -> Any:
    return server.world


@pytest.fixture
def busy(server: Any) -> Any:
    """A world with a chain of jobs on a device: used by most tests."""
    contract = load_server()
    world = server.world
    train = world.add_job(
        result=Result(epoch=3, max_epoch=8, eta="0:00:41.2"), reason="running on cpu:0", metric="accuracy_top-1",
        metric_value=0.9134, devices=["cpu:0"], runner="embedded", seconds_ago=30, started_at=world.stamp(25),
    )  # fmt: skip
    world.add_job(
        action="evaluate", parent_id=train.id, owner_id=train.owner_id, state=State.WAITING,
        reason=f"waits for its parent train {train.id[:8]}", seconds_ago=29,
    )  # fmt: skip
    world.add_job(
        action="train", owner_name="pedestrians", network="dino", state=State.FAILED, seconds_ago=4000,
        reason="exit code 137: killed, out of memory?",
    )  # fmt: skip
    world.results[train.id] = Result(
        epoch=3,
        max_epoch=8,
        kpi=[contract.kpi("accuracy_top-1", 0.61, 0.84, 0.9134), contract.kpi("loss", 1.9, 0.71, 0.34)],
        graphical=[Graphical("lr", contract.curve(1e-3, 9e-4, 7e-4))],
    )
    world.specs[train.id] = {"train": {"num_epochs": 8, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": None}
    world.logs[train.id] = bytearray(b"2026-01-01 10:00:00 INFO starting\n2026-01-01 10:00:01 WARNING slow disk\n")
    world.devices = [contract.cpu(0, leases=[contract.lease(train)])]
    world.train = train
    return world


@pytest.fixture
def client(server: Any) -> AsyncClient:
    return AsyncClient(server.url, server.world.user, server.world.token)


@pytest.fixture
def dashboard(client: AsyncClient) -> Dashboard:
    return Dashboard(client)


@pytest.fixture
def until() -> Callable[..., Any]:
    """`await until(pilot, condition)`: lets the dashboard work until the condition holds; fails after PATIENCE_S."""

    async def wait(pilot: Any, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await pilot.pause()

    return wait
