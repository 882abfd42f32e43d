"""Tools over HTTP: listed for all, installed, checked and removed by the first user, with progress as events."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from taod.api.app import create_app
from taod.config import Config
from taod.services import tools
from taod.services.composition import open_services
from taod.services.users import BEARER
from taod.types.event import EventType
from taod.types.tool import Environment, ToolInfo, ToolProgress, ToolState
from tests.api.conftest import HOST
from tests.children import children
from tests.runners.toolenv.wheels import index, pip_settings, tool_spec

PATH = "/api/v1/tools"


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the specification of a tiny tool, whose packages are what pip finds."""
    for name, value in pip_settings(index(tmp_path / "packages")).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "specs"
    folder.mkdir()
    spec = msgspec.structs.replace(tool_spec(), step=[tool_spec().step[1]])
    fields = {name: value for name, value in msgspec.to_builtins(spec).items() if value is not None}
    (folder / "tiny-7.3.0.toml").write_bytes(msgspec.toml.encode(fields))
    return folder


@pytest.fixture
async def service(tmp_path: Path, specs: Path) -> AsyncIterator[Any]:
    config = msgspec.convert(
        {"storage": {"root": str(tmp_path / "root")}, "tools": {"specs": str(specs)}, "devices": {"gpus": False}},
        Config,
    )
    services = open_services(config)
    await services.start()
    yield services
    await services.stop()
    services.store.close()


@pytest.fixture
async def client(service: Any) -> AsyncIterator[httpx.AsyncClient]:
    _, token = service.users.ensure_first()
    transport = httpx.ASGITransport(app=create_app(service))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=headers) as client:
        yield client


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def listed(client: httpx.AsyncClient) -> dict[str, ToolInfo]:
    answer = await client.get(PATH)
    assert answer.status_code == 200, answer.text
    return {f"{each.tool}-{each.release}": each for each in msgspec.json.decode(answer.content, type=list[ToolInfo])}


async def until_ended(events: Any) -> list[ToolProgress]:
    """All progress up to the end."""
    found: list[ToolProgress] = []
    while not found or not found[-1].ended:
        event = await anext(events)
        if event.type is EventType.TOOL:
            found.append(msgspec.json.decode(event.data, type=ToolProgress))
    return found


def add_another(service: Any, made: Environment) -> None:
    """Add an environment of the same tool, as an installation with the CPU layer leaves it."""
    other = msgspec.structs.replace(made, name=f"{made.name}-cpu", path=f"{made.path}-cpu")
    Path(other.path).mkdir()
    service.tools._environments.write(other)


@pytest.mark.slow
async def test_a_tool_is_installed_checked_and_removed(service: Any, client: httpx.AsyncClient) -> None:
    assert (await listed(client))["tiny-7.3.0"].environments == []
    async with service.bus.subscribe(None) as events:
        answer = await client.post(f"{PATH}/tiny", json={"accept_license": True, "python": sys.executable})
        assert answer.status_code == 201 and answer.json()["name"] == "tiny-7.3.0", answer.text
        again = await client.post(f"{PATH}/tiny", json={"accept_license": True})
        assert again.status_code == 409 and "being installed" in again.json()["error_desc"]
        gone = await client.delete(f"{PATH}/tiny-7.3.0")
        assert gone.status_code == 409
        reports = await until_ended(events)
        assert reports[-1].error == "" and (reports[-1].step, reports[-1].steps) == (3, 3)
        assert {each.title for each in reports} == {"virtual environment", "tool", "check"}

        (made,) = (await listed(client))["tiny-7.3.0"].environments
        assert made.state is ToolState.READY and made.consent is not None and made.consent.accepted_by == "local"
        # tiny-library is not installed, so one action of each network fails.
        assert [entry.offers("train") for entry in made.entry_points] == [False, True]
        answer = await client.post(f"{PATH}/tiny", json={"accept_license": True})
        assert answer.status_code == 409 and "is installed already" in answer.json()["error_desc"]

        answer = await client.post(f"{PATH}/tiny-7.3.0/check")
        assert answer.status_code == 201, answer.text
        assert [each.detail for each in await until_ended(events)] == ["net_a", "net_b", "net_b"]

        add_another(service, made)
        answer = await client.delete(f"{PATH}/tiny")
        assert answer.status_code == 400 and "name one of tiny-7.3.0, tiny-7.3.0-cpu" in answer.text
        service.tools._environments.remove("tiny-7.3.0-cpu")
        answer = await client.delete(f"{PATH}/tiny")  # now the only environment of this tool
        assert answer.status_code == 200
        assert msgspec.json.decode(answer.content, type=Environment).name == "tiny-7.3.0"
        assert (await until_ended(events))[-1].title == "remove"
    assert (await listed(client))["tiny-7.3.0"].environments == []


async def test_what_cannot_be_installed_is_rejected_when_it_is_asked_for(
    service: Any, client: httpx.AsyncClient
) -> None:
    async def rejected(status: int, method: str, path: str, **body: Any) -> str:
        answer = await client.request(method, PATH + path, **({"json": body} if body else {}))
        assert answer.status_code == status, answer.text
        return str(answer.json()["error_desc"])

    assert "did you mean pytorch?" in await rejected(404, "POST", "/pytroch", accept_license=True)
    assert "it has 7.3.0" in await rejected(404, "POST", "/tiny", release="8", accept_license=True)
    assert "(Tiny Licence) was not accepted" in await rejected(400, "POST", "/tiny", cpu=True)
    why = await rejected(400, "POST", "/tiny", accept_license=True, python="/nowhere/python")
    assert why.startswith("--python /nowhere/python: it cannot be run as a Python")
    assert "installed: none" in await rejected(404, "POST", "/tiny-7.3.0/check")
    assert "installed: none" in await rejected(404, "DELETE", "/tiny-7.3.0")

    user, _ = service.users.add("ada")
    token = service.users.issue(user.id, kind=BEARER, label="test")
    client.headers["Authorization"] = f"Bearer {token}"
    assert "only the first user of this root" in await rejected(400, "POST", "/tiny", accept_license=True)
    assert "only the first user of this root" in await rejected(400, "DELETE", "/tiny-7.3.0")
    assert "tiny-7.3.0" in await listed(client)


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [False, True])
async def test_an_installation_is_interrupted_by_the_end_of_the_daemon(
    service: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, silent_port: int, deaf: bool
) -> None:
    """`deaf`: its process does not react to the signal."""
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{silent_port}/")
    async with service.bus.subscribe(None) as events:
        answer = await client.post(f"{PATH}/tiny", json={"accept_license": True, "python": sys.executable})
        assert answer.status_code == 201
        async for event in events:
            if event.type is EventType.TOOL:
                break
        for name in ("tiny", "tiny-7.3.0"):
            answer = await client.post(f"{PATH}/{name}/check")
            assert answer.status_code == 409 and "tiny-7.3.0 is being installed" in answer.text
        if deaf:
            (worker,) = children("runners.toolenv")
            worker.suspend()
            monkeypatch.setattr(tools, "STOP_S", 0.2)
        await service.tools.stop()
        reports = await until_ended(events)
    assert reports[-1].ended and reports[-1].error
    (left,) = (await listed(client))["tiny-7.3.0"].environments
    assert left.state is ToolState.INCOMPLETE
