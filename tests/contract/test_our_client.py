"""What our client and our command line can send: nothing that the OpenAPI document does not have.

Every method of the client, with every argument, and every client command, with every option, speaks to a server that
is only the document: it checks what it is asked against it, and answers with the document's own examples.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click
import httpx
import jsonschema
import msgspec
import pytest
from click.testing import CliRunner

from taod.api.routes.docs import document
from taod.cli.main import COMMANDS, command, load
from taod.cli.support import options
from taod.client import AsyncClient
from taod.client.errors import ClientError
from taod.client.transport import Namespace, Transport
from taod.types.common import DaemonInfo, OwnerKind, Sort
from taod.types.dataset import DatasetCreate, DatasetFromJob, DatasetPatch, DatasetPut, UploadMode
from taod.types.job import JobDetail, JobPatch, JobRun, JobView, Result
from taod.types.model import ModelCreate, ModelPatch, PtmCreate
from taod.types.state import State, Status

DOCUMENT = document()
ID = "c1d2e3f4-0a1b-4c2d-8e3f-4a5b6c7d8e9f"
HEADERS = {
    "accept", "accept-encoding", "authorization", "cache-control", "connection", "content-length", "content-type",
    "host", "transfer-encoding", "user-agent",
}  # fmt: skip
"""What HTTP itself sends."""


class Documented:
    """A server that is only the document. `seen` has the operations that were asked for, `wrong` what it knows not."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.wrong: list[str] = []
        self.routes = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{path}", ".+")) + "$"), item)
            for path, item in DOCUMENT["paths"].items()
        ]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        operation = self._operation(request)
        if operation is None:
            self.wrong.append(f"{request.method} {request.url.path} is no operation")
            return httpx.Response(404, json={"error_code": 404, "error_desc": "no such operation"})
        self.seen.add(operation["operationId"])
        self._check(request, operation, await request.aread())
        if operation["operationId"].startswith("events"):
            return httpx.Response(404, json={"error_code": 404, "error_desc": "nothing happens"})
        status, answer = min((int(code), reported) for code, reported in operation["responses"].items() if code < "300")
        if dict(request.url.params).get("dry_run") is None and "201" in operation["responses"]:
            status, answer = 201, operation["responses"]["201"]
        kind, content = next(iter(answer["content"].items()))
        if kind == "application/json":
            return httpx.Response(status, json=content["example"])
        return httpx.Response(status, stream=httpx.ByteStream(str(content.get("example", "")).encode()))

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        found = [item for pattern, item in self.routes if pattern.match(request.url.path)]
        return next((item[request.method.lower()] for item in found if request.method.lower() in item), None)

    def _check(self, request: httpx.Request, operation: dict[str, Any], body: bytes) -> None:
        name = operation["operationId"]
        known = {(each["in"], each["name"].lower()): each["schema"] for each in operation.get("parameters", ())}
        for parameter, value in parse_qsl(request.url.query.decode(), keep_blank_values=True):
            schema = known.get(("query", parameter))
            if schema is None:
                self.wrong.append(f"{name} has no parameter {parameter}")
            elif not _valid(value, schema):
                self.wrong.append(f"{name}: {parameter}={value} is none of {schema}")
        for header in request.headers:
            if header not in HEADERS and ("header", header) not in known:
                self.wrong.append(f"{name} has no header {header}")
        kind = request.headers.get("content-type", "").partition(";")[0]
        reported = operation.get("requestBody", {"content": {}})["content"]
        if body and kind not in reported:
            self.wrong.append(f"{name} takes no {kind or 'body'}")
        elif body and kind == "application/json":
            schema = reported[kind]["schema"] | {"components": DOCUMENT["components"]}
            for error in jsonschema.Draft202012Validator(schema).iter_errors(msgspec.json.decode(body)):
                self.wrong.append(f"{name}: {error.message}")


def _valid(text: str, schema: dict[str, Any]) -> bool:
    schema = schema["items"] if schema["type"] == "array" else schema
    value: Any = text
    if schema["type"] in ("boolean", "integer"):
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return False
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> Documented:
    """Every client speaks to it."""
    server = Documented()

    def http(client: Transport) -> httpx.AsyncClient:
        if client._http is None:
            client._http = httpx.AsyncClient(transport=httpx.MockTransport(server))
        return client._http

    monkeypatch.setattr(Transport, "http", property(http))
    return server


TYPES: dict[Any, Any] = {
    bool: True, int: 3, Sort: Sort.NAME_ASCENDING, Status: Status.DONE,
    State | Sequence[State]: [State.DONE, State.FAILED],
    JobRun | Sequence[JobRun]: [JobRun(["train"]), JobRun(["export"], job=ID)],
    JobPatch: JobPatch(priority=3, held=True, spec={}),
    DatasetCreate: DatasetCreate("bpnet", "default"), DatasetPut: DatasetPut(), DatasetPatch: DatasetPatch(name="x"),
    ModelCreate: ModelCreate("dino"), ModelPatch: ModelPatch(public=True), PtmCreate: PtmCreate("~/x", "dino"),
    DatasetFromJob: DatasetFromJob("x", "y", "coco", "object_detection"), dict[str, Any]: {"train": {}},
    OwnerKind: "model", UploadMode: UploadMode.ADD, bytes: b"train {}",
    JobDetail: JobDetail(
        JobView(ID, "train", None, Status.DONE, "", "", Result(), State.DONE, "", "model", ID, "x", "dino")
    ),
}  # fmt: skip
"""A value for each type of an argument; `TEXTS` has those of strings, by name."""
TEXTS = {
    "dataset_id": ID, "model_id": ID, "owner_id": ID, "job_id": ID, "action": "train", "network": "dino",
    "network_arch": "dino", "arch": "dino", "name": "x", "text": "x", "type": "bpnet", "sort": "date-ascending",
    "parent": ID, "ngc_path": "a/b:c", "reason": "x", "before": ID, "after": ID, "runner": "embedded",
    "tool": "pytorch", "environment": "pytorch-7.3.0", "release": "7.3", "python": "3.12",
    "target": "mail", "job_": ID, "metric": "loss", "dataset": ID,
}  # fmt: skip


def calls() -> Iterator[tuple[str, Any]]:
    """Name and method of every call, without those of the connection itself."""
    client = AsyncClient("http://127.0.0.1", ID, "token")
    yield "health", AsyncClient.health
    for name, namespace in vars(client).items():
        if isinstance(namespace, Namespace):
            for call, method in inspect.getmembers(type(namespace), inspect.isfunction):
                if not call.startswith("_"):
                    yield f"{name}.{call}", method


def piped(data: bytes) -> typing.BinaryIO:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return os.fdopen(read, "rb")


def arguments(method: Any, folder: Path) -> Iterator[dict[str, Any]]:
    """Every argument of a method; once more for the other kind of owner. Raises KeyError for one that is new here."""
    hints = typing.get_type_hints(method)
    given: dict[str, Any] = {}
    for name in list(inspect.signature(method).parameters)[1:]:
        kind = hints[name]
        bare = [each for each in typing.get_args(kind) if each is not type(None)]
        kind = bare[0] if len(bare) == 1 and type(None) in typing.get_args(kind) else kind
        if type(None) in typing.get_args(kind):
            kind = typing.Union[tuple(bare)]  # noqa: UP007
        if kind is Path:
            given[name] = folder / "archive.tar"
        elif kind is typing.BinaryIO:
            given[name] = piped(b"archive")
        elif kind is str and name == "path":
            given[name] = "results/log.txt"
        elif callable(kind) and "Callable" in str(kind):
            continue
        elif kind is str:
            given[name] = TEXTS[name]
        elif name == "end":
            given[name] = 99  # After `start`: of nothing, nothing is asked.
        else:
            given[name] = next((value for known, value in TYPES.items() if known == kind), None)
            assert given[name] is not None, f"{method.__name__} takes {name}: {kind}, which TYPES lacks"
    yield given
    if "kind" in given:
        yield given | {"kind": "dataset"}


async def test_the_client_sends_nothing_that_the_document_does_not_have(documented: Documented, tmp_path) -> None:
    (tmp_path / "archive.tar").write_bytes(b"archive")
    client = AsyncClient("http://127.0.0.1", ID, "token")
    assert len(list(calls())) > 45
    for name, method in calls():
        receiver = getattr(client, name.partition(".")[0]) if "." in name else client
        for given in arguments(method, tmp_path):
            documented.seen.clear()
            try:
                if inspect.isasyncgenfunction(method):
                    _ = [each async for each in method(receiver, **given)]
                else:
                    await method(receiver, **given)
            except ClientError as error:
                assert (name, error.status) in {("events.stream", 404), ("jobs.watch", 404)}
            assert documented.seen, f"{name} asks for nothing"
    await client.aclose()
    assert documented.wrong == []


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that speaks to a daemon, and to no terminal."""
    for name in COMMANDS.keys() - {"tui", "quickstart"}:
        yield from below((name,), load(name))


def below(path: tuple[str, ...], found: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(found, click.Group):
        for name, each in found.commands.items():
            yield from below((*path, name), each)
    elif any(parameter.name == "url" for parameter in found.params):
        yield path, found


PLACES = {
    "owner": ID, "dataset_": ID, "datasets": ID, "model_": ID, "models": ID, "job_": ID, "jobs": ID, "arch": "dino",
    "name": "dino", "action": "train", "actions": "train", "fields": "name=x", "path": "log.txt",
    "pairs": "train.num_epochs=3", "reason": "x", "release": "7.3", "target": "mail",
}  # fmt: skip
"""A value for each argument that is a text, by name."""


def test_the_command_line_sends_nothing_that_the_document_does_not_have(
    documented: Documented, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = DaemonInfo(url="http://127.0.0.1", pid=0, started=0.0, user_id=ID, token="token")
    monkeypatch.setattr(options, "find", lambda *_: info)
    runner = CliRunner()
    assert len(list(commands())) > 40
    for path, found in commands():
        for line in lines(found):
            here = Path(tempfile.mkdtemp(dir=tmp_path))
            (here / "file").write_text("{}")
            monkeypatch.chdir(here)
            documented.seen.clear()
            if path == ("mcp",):
                continue  # It sends what an agent asks for; the commands send the same.
            result = runner.invoke(command(), [*path, *line], input="y\n")
            reported = f"taod {' '.join([*path, *line])}: {result.output}"
            assert result.exception is None or isinstance(result.exception, SystemExit), reported
            assert documented.seen or path == ("network", "show"), reported  # That one reads the catalogue.
    assert documented.wrong == []


def lines(found: click.Command) -> Iterator[list[str]]:
    """The command alone, then with each of its options."""
    alone = [word for parameter in found.params if isinstance(parameter, click.Argument) for word in place(parameter)]
    required = [
        word for parameter in found.params if isinstance(parameter, click.Option) and parameter.required
        for word in option(parameter)
    ]  # fmt: skip
    yield [*alone, *required]
    for parameter in found.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("help", "root", "url", "token"):
            yield [*alone, *required, *option(parameter)]


def place(parameter: click.Argument) -> list[str]:
    return [value(parameter, PLACES)] * (2 if parameter.name == "jobs" else 1)  # a comparison is of two


def option(parameter: click.Option) -> list[str]:
    name = max(parameter.opts, key=len)
    return [name] if parameter.is_flag else [name, value(parameter, TEXTS)]


def value(parameter: click.Parameter, known: dict[str, str]) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(kind.choices[-1])
    if isinstance(kind, click.Path | click.File):
        return "new" if parameter.name == "output" else "file"
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return "3"
    return known[str(parameter.name)]
