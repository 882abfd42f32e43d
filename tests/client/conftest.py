"""Fixtures of the client's tests: the contract server of the dashboard's tests, on a socket."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taod.client import AsyncClient


@pytest.fixture
def contract() -> ModuleType:
    name = "taod_contract_server"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "tui" / "contract_server.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
async def server(contract: ModuleType) -> AsyncIterator[Any]:
    running = contract.ContractServer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(server: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, server.world.user, server.world.token) as client:
        yield client
