"""A whole server over a temporary root, and a tool on its path that writes what the real ones write."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.types import ASGIApp

from store.records import UserRecord
from taod.api.app import guarded, routed
from taod.client import AsyncClient
from taod.config import Config, LimitsConfig
from taod.paths import Root
from taod.services import Services
from taod.services.composition import open_services
from taod.services.users import KEY

HOST = "http://127.0.0.1"

TOOL = """#!/bin/sh
# A network's entry point: says it began, waits for a word at its gate, writes weights, says how it ended.
action=$1
for argument; do
  case $argument in
    --results_dir=*) results=${argument#--results_dir=} ;;
  esac
done
results=${results%/}
mkdir -p "$results/train"
echo "starting $action"
echo '{"date": "1/2/2024", "time": "3:4:5", "status": "STARTED", "message": "Starting"}' >> "$results/status.json"
trap 'echo stopped; exit 143' TERM
read word < "$TAOD_TEST_GATE"
echo "the word is $word"
if [ "$word" = fail ]; then
  echo '{"status": "FAILURE", "message": "CUDA out of memory"}' >> "$results/status.json"
  exit 1
fi
printf 'weights' > "$results/train/epoch_1.pth"
printf 'graph' > "$results/model.onnx"
echo '{"epoch": 1, "max_epoch": 1, "status": "RUNNING", "message": "Training", "kpi": {"loss": 0.5}}' \\
  >> "$results/status.json"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""


@dataclass
class Server:
    """An application with its services, a client with a token, and what tests often do with them."""

    services: Services
    app: Litestar
    client: httpx.AsyncClient
    user: UserRecord
    token: str
    gate: int

    @property
    def base(self) -> str:
        return f"/api/v1/user/{self.user.id}"

    async def call(self, method: str, path: str, status: int, **options: Any) -> Any:
        """Ask below the user; the answer must have this status. Returns its JSON."""
        answer = await self.client.request(method, self.base + path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def rejected(self, method: str, path: str, status: int = 400, **options: Any) -> str:
        """Send a request that is rejected with an error in the contract's form. Returns its description."""
        body = await self.call(method, path, status, **options)
        assert set(body) == {"error_code", "error_desc"}
        assert body["error_code"] == status
        return body["error_desc"]

    async def dataset(
        self, type_: str = "image_classification", format_: str = "classification_pyt", **more: Any
    ) -> str:
        made = await self.call("POST", "/dataset", 201, json={"type": type_, "format": format_} | more)
        return made["id"]

    async def model(self, arch: str = "classification_pyt", **more: Any) -> str:
        made = await self.call("POST", "/model", 201, json={"network_arch": arch} | more)
        return made["id"]

    async def ready_dataset(self, folder: Path, **more: Any) -> str:
        """A dataset with images, used in place."""
        dataset_id = await self.dataset(**more)
        await self.call("POST", f"/dataset/{dataset_id}/link", 201, json={"path": str(folder)})
        return dataset_id

    def word(self, text: str) -> None:
        """Send the tool that waits at the gate, now or later, the word that it continues with."""
        os.write(self.gate, text.encode() + b"\n")


@pytest.fixture
def tool_path(tmp_path: Path) -> Path:
    """A folder with the tool under the names of some networks."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for network in ("classification_pyt", "classification_tf2", "dino", "detectnet_v2"):
        (folder / network).write_text(TOOL)
        (folder / network).chmod(0o755)
    return folder


@pytest.fixture
def gate(tmp_path: Path, tool_path: Path) -> Iterator[int]:
    """A pipe where every tool waits for one line; open at both ends, so that neither side blocks."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    for tool in tool_path.iterdir():
        tool.write_text(tool.read_text().replace("$TAOD_TEST_GATE", str(path)))
    end = os.open(path, os.O_RDWR)
    yield end
    os.close(end)


@pytest.fixture
def config(tmp_path: Path, tool_path: Path) -> Config:
    config = Config()
    config.storage.root = str(tmp_path / "root")
    config.storage.link_roots = [str(tmp_path)]
    config.devices.gpus = False
    config.runner.order = ["native"]
    config.runner.native.path = [str(tool_path)]
    config.scheduler.grace_s = 2.0
    return config


class _Current:
    """The services of the test that runs."""

    services: Services

    def __getattr__(self, name: str) -> Any:
        return getattr(self.services, name)


@functools.cache
def _application(body_bytes: int, spec_bytes: int) -> tuple[_Current, Litestar, ASGIApp]:
    """One application for all tests of a process, as it takes longer to build than most tests run."""
    current = _Current()
    limits = LimitsConfig(body_bytes=body_bytes, spec_bytes=spec_bytes)
    current.services = SimpleNamespace(config=Config(limits=limits), parser=None)
    app = routed(current)
    return current, app, app.asgi_handler


def application(services: Services) -> Litestar:
    """The application over `services`, like `create_app`; it serves one test at a time."""
    limits = services.config.limits
    current, app, handler = _application(limits.body_bytes, limits.spec_bytes)
    current.services = services
    app.state.parser = services.parser
    app.asgi_handler = guarded(handler, services)
    return app


@functools.cache
def empty_database() -> bytes:
    """The database of a root after its first start."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config()
        config.storage.root = folder
        config.devices.gpus = False
        open_services(config).store.close()
        return (Path(folder) / "taod.db").read_bytes()


@pytest.fixture
async def server(config: Config, gate: int) -> AsyncIterator[Server]:
    root = Root(config.root)
    root.make()
    root.database.write_bytes(empty_database())
    services = open_services(config)
    try:
        user, token = services.users.ensure_first()
        app = application(services)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"}
        await services.start()
        async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=headers) as client:
            yield Server(services, app, client, user, token, gate)
    finally:
        await services.stop()
        services.store.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    """taod's own client on the application."""
    async with AsyncClient("http://127.0.0.1", server.user.id, server.token) as client:
        client._http = httpx.AsyncClient(transport=httpx.ASGITransport(server.app))
        yield client


@pytest.fixture
def images(tmp_path: Path) -> Callable[[str], Path]:
    """Makes folders in the layout of format classification_pyt; the argument is the split."""

    def make(split: str = "train") -> Path:
        folder = tmp_path / f"images-{split}"
        for name in ("cat", "dog"):
            place = folder / f"images_{split}" / name
            place.mkdir(parents=True)
            (place / "1.png").write_bytes(PNG)
        (folder / "classes.txt").write_text("cat\ndog\n")
        return folder

    return make


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)


@pytest.fixture
def key(server: Server) -> str:
    """A key for the login endpoint."""
    return server.services.users.issue(server.user.id, kind=KEY, label="test")
