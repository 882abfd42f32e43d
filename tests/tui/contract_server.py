"""A small real HTTP server with the contract's shapes over in-memory state, for tests of client and dashboard.

It listens on a socket, streams events and logs, and can be stopped and restarted on its port.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, delete, get, patch, post, put
from litestar.params import FromPath
from litestar.response import Stream

from taod.ids import new_id
from taod.types.common import ErrorBody, Health, Login
from taod.types.dataset import Dataset, DatasetReport, DatasetSummary, UploadAnswer
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.event import EventType, StatusUpdate
from taod.types.job import Artifact, HistoryEntry, JobDetail, JobView, Kpi, ProcessInfo, Result
from taod.types.model import Model, Ptm
from taod.types.network import ActionInfo, NetworkInfo
from taod.types.plan import PlannedJob
from taod.types.queue import QueueState
from taod.types.release_change import ReleaseChange, ReleaseMove
from taod.types.state import State
from taod.types.sweep import SweepView
from taod.types.tool import Environment, ToolInfo, ToolInstall, ToolProgress

BASE = "/api/v1/user/{user:str}"


class ApiError(Exception):
    """An error answer."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass
class World:
    """State of the server; tests change it and publish events to the clients."""

    user: str = field(default_factory=new_id)
    token: str = "secret"
    key: str = "a-key"
    jobs: dict[str, JobView] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    histories: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    logs: dict[str, bytearray] = field(default_factory=dict)
    devices: list[Device] = field(default_factory=list)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    uploads: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    tools: list[ToolInfo] = field(default_factory=list)
    release_change: ReleaseChange | None = None
    """Answer to a preview of a model's move."""
    summaries: dict[str, DatasetSummary] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    """JSON Schema of every action."""
    sweeps: dict[str, SweepView] = field(default_factory=dict)
    queue: QueueState = field(default_factory=lambda: QueueState(False, "", "", None, 0, 0, 0, 0, 0, 0, 0, 3600.0))
    images: dict[str, bytes] = field(default_factory=dict)
    """Files of every job beside the one that all have."""
    unheard: dict[str, int] = field(default_factory=dict)
    """End of a path → number of requests whose connection breaks before the answer."""
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """End of a path → the event that its requests wait for before they are handled."""
    late: dict[str, asyncio.Event] = field(default_factory=dict)
    """End of a path → the event that its finished answers wait for before they are sent."""
    waiting: int = 0
    """Number of answers that wait for such an event."""
    errors: dict[str, str] = field(default_factory=dict)
    """End of a path → message of a 503 answer to its requests."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path, with the query, of every request."""
    streams: list[asyncio.Queue[bytes | None]] = field(default_factory=list)
    resumed_from: list[str | None] = field(default_factory=list)
    """Last-Event-ID of each opening of the event stream."""
    followers: dict[str, int] = field(default_factory=dict)
    """Number of clients that follow each job's log."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client stops following a log."""
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    ended: set[str] = field(default_factory=set)
    """Jobs whose streams end now."""
    closing: bool = False
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def stamp(self, seconds_ago: float = 0.0) -> str:
        return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat(timespec="microseconds")

    def add_job(self, **given: Any) -> JobView:
        """A job with defaults for all fields that are not given; publishes no event."""
        state = given.pop("state", State.RUNNING)
        created = self.stamp(given.pop("seconds_ago", 10.0))
        fields: dict[str, Any] = {
            "id": new_id(), "action": "train", "parent_id": None, "status": state.public, "created_on": created,
            "last_modified": created, "result": Result(), "state": state, "reason": "", "owner_kind": "model",
            "owner_id": new_id(), "owner_name": "digits", "network": "classification_pyt",
        } | given  # fmt: skip
        view = JobView(**fields)
        self.jobs[view.id] = view
        self.histories[view.id] = [HistoryEntry(created, State.QUEUED, "asked for")]
        return view

    def change(self, job_id: str, **fields: Any) -> JobView:
        """Change a job and publish the event."""
        if "state" in fields:
            fields["status"] = fields["state"].public
            self.histories[job_id].append(HistoryEntry(self.stamp(), fields["state"], fields.get("reason", "")))
        view = msgspec.structs.replace(self.jobs[job_id], last_modified=self.stamp(), **fields)
        self.jobs[job_id] = view
        self.publish(EventType.JOB, view)
        return view

    def publish(self, kind: EventType, body: Any) -> None:
        """Send an event to every client."""
        self.send(f"id: w-{next(self.ids)}\nevent: {kind}\ndata: {msgspec.json.encode(body).decode()}\n\n".encode())

    def send(self, data: bytes) -> None:
        for queue in self.streams:
            queue.put_nowait(data)

    def cut(self) -> None:
        """Close every event stream."""
        for queue in self.streams:
            queue.put_nowait(None)

    async def write(self, job_id: str, data: bytes) -> None:
        """Append to a job's log."""
        async with self.grown:
            self.logs.setdefault(job_id, bytearray()).extend(data)
            self.grown.notify_all()

    async def end_stream(self, job_id: str) -> None:
        """End every stream of a job's log, as the end of a run does; returns when they have ended."""
        async with self.grown:
            self.ended.add(job_id)
            self.grown.notify_all()
        while self.followers.get(job_id):
            self.left.clear()
            await self.left.wait()
        self.ended.discard(job_id)

    async def close(self) -> None:
        self.cut()
        async with self.grown:
            self.closing = True
            self.grown.notify_all()


def gpu(index: int = 0, **given: Any) -> Device:
    """A GPU with plausible readings."""
    gib = 1024**3
    fields: dict[str, Any] = {
        "id": f"GPU-{index}", "kind": DeviceKind.GPU, "index": index, "name": "NVIDIA H100 80GB HBM3",
        "memory_total_bytes": 80 * gib, "memory_used_bytes": 31 * gib, "utilisation_percent": 87.0,
        "temperature_c": 61.0, "power_w": 412.0, "power_limit_w": 700.0,
    } | given  # fmt: skip
    return Device(**fields)


def cpu(index: int = 0, **given: Any) -> Device:
    return Device(id=f"cpu:{index}", kind=DeviceKind.CPU, index=index, name="Intel Xeon Platinum 8481C", **given)


def lease(view: JobView) -> DeviceLease:
    return DeviceLease(job_id=view.id, action=view.action, network=view.network, slot=0, since=view.created_on)


SERVED: ContextVar[World] = ContextVar("SERVED")
"""The world of the server that handles the current request."""


class ServedWorld:
    """Reads and writes the attributes of that world."""

    def __getattr__(self, name: str) -> Any:
        return getattr(SERVED.get(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(SERVED.get(), name, value)


@functools.cache
def application() -> Litestar:
    """The contract over the served world: one application for all servers of a process, as it takes long to build."""
    world: Any = ServedWorld()

    def find(job: str) -> JobView:
        if job not in world.jobs:
            raise ApiError(404, f"there is no job {job}")
        return world.jobs[job]

    def gate(request: Request[Any, Any, Any]) -> None:
        query = f"?{request.url.query}" if request.url.query else ""
        world.asked.append((request.method, request.url.path + query))
        path = request.url.path
        if path.endswith("/health") or "/login/" in path:
            return
        if request.headers.get("authorization") != f"Bearer {world.token}":
            raise ApiError(401, "this token is not known here")
        if "/user/" in path and world.user not in path:
            raise ApiError(404, "there is no such user")
        if words := next((words for end, words in world.errors.items() if path.endswith(end)), None):
            raise ApiError(503, words)

    @get("/api/v1")
    async def index() -> dict[str, str]:
        return {"networks": "/api/v1/networks", f"user/{world.user}": f"/api/v1/user/{world.user}"}

    @get("/api/v1/health")
    async def health() -> Health:
        return Health("ok", "0.1.0", 1.0)

    @get("/api/v1/login/{key:str}")
    async def login(key: FromPath[str]) -> Login:
        if key != world.key:
            raise ApiError(401, "this key is not known here")
        return Login(world.user, world.token)

    @get("/api/v1/devices")
    async def devices() -> list[Device]:
        return world.devices

    @get("/api/v1/queue")
    async def queue() -> QueueState:
        return world.queue

    @patch("/api/v1/queue")
    async def change_queue(request: Request[Any, Any, Any]) -> QueueState:
        body = msgspec.json.decode(await request.body())
        paused = body["paused"]
        since = world.stamp() if paused else None
        world.queue = msgspec.structs.replace(
            world.queue, paused=paused, by="ann" if paused else "", reason=body.get("reason", ""), since=since
        )
        world.publish(EventType.QUEUE, world.queue)
        return world.queue

    @get("/api/v1/networks")
    async def networks() -> list[NetworkInfo]:
        kind = NetworkInfo(
            "image_classification", "dataset", "image_classification", ["classification_pyt"], "", "", []
        )
        return [network_info(), kind]

    @get("/api/v1/networks/{name:str}")
    async def network(name: FromPath[str]) -> NetworkInfo:
        if name != "classification_pyt":
            raise ApiError(404, f"there is no network {name}")
        return network_info()

    def network_info() -> NetworkInfo:
        return NetworkInfo(
            "classification_pyt", "network", "image_classification", ["classification_pyt"], "tao-pyt", "yaml",
            [ActionInfo("train", ["embedded"]), ActionInfo("evaluate", ["embedded"]), ActionInfo("prune", [])], "loss",
        )  # fmt: skip

    def planned(number: int, action: str) -> PlannedJob:
        argv = ["classification_pyt", action, "-e", f"/root/jobs/dry-run-{number}/{action}.yaml", "-k", "***"]
        return PlannedJob(
            f"dry-run-{number}", "classification_pyt", action, f"dry-run-{number - 1}" if number > 1 else None,
            "embedded", "tao-pyt", 1, argv, ["sh", "run.sh", *argv], {"TAOD_JOB_ID": f"dry-run-{number}"},
            ["/data/images"],
        )  # fmt: skip

    def wanted(request: Request[Any, Any, Any]) -> list[JobView]:
        query = request.query_params
        text, status, state = query.get("text", "").lower(), query.get("status"), query.get("state")
        found = [
            view
            for view in world.jobs.values()
            if (query.get("trials") != "false" or view.sweep_id is None)
            and (not status or view.status == status)
            and (not state or view.state == state)
            and any(text in each.lower() for each in (view.id, view.action, view.network, view.owner_name))
        ]
        return sorted(found, key=lambda view: (view.created_on, view.id), reverse=True)

    @get(f"{BASE}/job")
    async def list_jobs(user: FromPath[str], request: Request[Any, Any, Any]) -> Response[list[JobView]]:
        found = wanted(request)
        skip, size = int(request.query_params.get("skip", 0)), int(request.query_params.get("size", len(found)))
        return Response(found[skip : skip + size], headers={"X-Total-Count": str(len(found))})

    @get(f"{BASE}/job/counts")
    async def counts(user: FromPath[str], request: Request[Any, Any, Any]) -> dict[str, int]:
        return {state.value: sum(view.state is state for view in wanted(request)) for state in State}

    @get(f"{BASE}/model/{{model:str}}/job/{{job:str}}/sweep")
    async def sweep(user: FromPath[str], model: FromPath[str], job: FromPath[str]) -> SweepView:
        if job not in world.sweeps:
            raise ApiError(404, f"job {job} is not a sweep")
        return world.sweeps[job]

    @get(f"{BASE}/model/{{model:str}}/job/{{job:str}}/sweep.csv", media_type="text/csv")
    async def sweep_csv(user: FromPath[str], model: FromPath[str], job: FromPath[str]) -> str:
        return "".join(f"{trial.number},{trial.value}\n" for trial in world.sweeps[job].trials)

    @post(f"{BASE}/model/{{model:str}}/job/{{job:str}}/sweep/finish", status_code=200)
    async def finish_sweep(user: FromPath[str], model: FromPath[str], job: FromPath[str]) -> SweepView:
        world.change(job, state=State.STOPPING, reason="Stopped early")
        return world.sweeps[job]

    @get(f"{BASE}/job/{{job:str}}")
    async def detail(user: FromPath[str], job: FromPath[str]) -> JobDetail:
        view = find(job)
        return JobDetail(
            msgspec.structs.replace(view, result=world.results.get(job, view.result)),
            world.histories.get(job, []),
            world.specs.get(job),
            ProcessInfo(["python", "-m", "runners.engine", view.network, view.action], {"TAOD_JOB_ID": job}, 4711),
            [],
            f"/root/jobs/{job}",
            [each.id for each in world.jobs.values() if each.parent_id == job],
        )

    @post(f"{BASE}/job/{{job:str}}/{{verb:str}}", status_code=200)
    async def act(user: FromPath[str], job: FromPath[str], verb: FromPath[str]) -> JobView:
        view = find(job)
        if verb == "cancel":
            if view.state.ended:
                raise ApiError(404, f"job {job} is over already")
            return world.change(job, state=State.CANCELLED, reason="Cancelled by user")
        if verb == "pause":
            if view.state is not State.RUNNING:
                raise ApiError(400, "only a running train can be paused")
            return world.change(job, state=State.PAUSED, reason=f"Paused at epoch {view.result.epoch}")
        if view.reason == "no room":
            raise ApiError(400, "cannot resume [no room]")
        return world.change(job, state=State.QUEUED, reason="resumes")

    @patch(f"{BASE}/job/{{job:str}}")
    async def change(user: FromPath[str], job: FromPath[str], request: Request[Any, Any, Any]) -> JobView:
        body = msgspec.json.decode(await request.body())
        if (held := body.pop("held", None)) is not None:
            body["state"] = State.HELD if held else State.QUEUED
        return world.change(job, **body)

    @delete(f"{BASE}/job/{{job:str}}", status_code=200)
    async def remove(user: FromPath[str], job: FromPath[str]) -> JobView:
        find(job)
        return world.jobs.pop(job)

    @get(f"{BASE}/job/{{job:str}}/log")
    async def log(user: FromPath[str], job: FromPath[str], request: Request[Any, Any, Any]) -> Stream:
        find(job)
        data = world.logs.get(job)
        follow = request.query_params.get("follow")
        if data is None and not follow:
            raise ApiError(404, "there is no log yet")
        asked = request.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")
        start, end = int(asked[0]), int(asked[1]) + 1 if asked[1] else None
        if follow:
            return Stream(flow(job, start), media_type="text/plain")
        content = bytes(data or b"")
        if "tail" in request.query_params:
            content = b"".join(content.splitlines(keepends=True)[-int(request.query_params["tail"]) :])
        elif "range" in request.headers:
            if start >= len(content):
                raise ApiError(416, "the log is shorter")
            content = content[start:end]
        return Stream([content], media_type="text/plain", headers={"X-Taod-Log-Size": str(len(data or b""))})

    async def flow(job: str, offset: int) -> AsyncIterator[bytes]:
        world.followers[job] = world.followers.get(job, 0) + 1
        try:
            yield bytes(world.logs.get(job, b"")[offset:])
            offset = max(offset, len(world.logs.get(job, b"")))
            while not world.closing and job not in world.ended and not world.jobs[job].state.ended:
                async with world.grown:
                    while not world.closing and job not in world.ended and len(world.logs.get(job, b"")) <= offset:
                        await world.grown.wait()
                piece = bytes(world.logs.get(job, b"")[offset:])
                offset += len(piece)
                yield piece
        finally:
            world.followers[job] -= 1
            world.left.set()

    @get(f"{BASE}/job/{{job:str}}/files")
    async def files(user: FromPath[str], job: FromPath[str]) -> list[Artifact]:
        known = [Artifact("results/a b.txt", len(world.logs.get(job, b"")), world.stamp())]
        return known + [Artifact(path, len(data), world.stamp()) for path, data in world.images.items()]

    @get(f"{BASE}/job/{{job:str}}/files/{{path:path}}")
    async def file(user: FromPath[str], job: FromPath[str], path: FromPath[Path]) -> Stream:
        if (image := world.images.get(str(path).lstrip("/"))) is not None:
            return Stream([image], headers={"Content-Length": str(len(image))})
        if not str(path).endswith("results/a b.txt"):
            raise ApiError(404, f"there is no file {path}")
        content = bytes(world.logs[job])
        return Stream([content[:10], content[10:]], headers={"Content-Length": str(len(content))})

    @get(f"{BASE}/events")
    async def events(user: FromPath[str], request: Request[Any, Any, Any]) -> Stream:
        world.resumed_from.append(request.headers.get("last-event-id"))
        return Stream(event_flow(), media_type="text/event-stream")

    async def event_flow() -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        world.streams.append(queue)
        try:
            yield b": hello\n\n"
            while (data := await queue.get()) is not None:
                yield data
        finally:
            world.streams.remove(queue)

    @post(f"{BASE}/dataset")
    async def create_dataset(user: FromPath[str], request: Request[Any, Any, Any]) -> Dataset:
        body = msgspec.json.decode(await request.body())
        if body["type"] != "image_classification":
            raise ApiError(400, "Invalid dataset type")
        now = world.stamp()
        made = msgspec.convert(
            {"logo": "", "version": "", "description": ""}
            | body
            | {"id": new_id(), "jobs": [], "actions": [], "created_on": now, "last_modified": now},
            Dataset,
        )
        world.datasets[made.id] = made
        return made

    @get(f"{BASE}/dataset")
    async def list_datasets(user: FromPath[str], request: Request[Any, Any, Any]) -> Response[list[Dataset]]:
        name = request.query_params.get("name", "")
        found = [each for each in world.datasets.values() if name in each.name]
        return Response(found[: int(request.query_params.get("size", 99))], headers={"X-Total-Count": str(len(found))})

    @delete(f"{BASE}/dataset/{{dataset:str}}", status_code=200)
    async def delete_dataset(user: FromPath[str], dataset: FromPath[str]) -> Dataset:
        if dataset not in world.datasets:
            raise ApiError(404, f"there is no dataset {dataset}")
        return world.datasets.pop(dataset)

    @post(f"{BASE}/dataset/{{dataset:str}}/upload")
    async def upload(user: FromPath[str], dataset: FromPath[str], request: Request[Any, Any, Any]) -> UploadAnswer:
        sent = (await request.form())["file"]
        content = await sent.read()
        world.uploads[dataset] = (sent.filename, content)
        return UploadAnswer("taken", 1, len(content), DatasetSummary("ready", 1, len(content)))

    @get(f"{BASE}/dataset/{{dataset:str}}/summary")
    async def summary(user: FromPath[str], dataset: FromPath[str]) -> DatasetSummary:
        return world.summaries.get(dataset, DatasetSummary("empty"))

    @get(f"{BASE}/dataset/{{dataset:str}}/report")
    async def report(user: FromPath[str], dataset: FromPath[str]) -> DatasetReport:
        raise ApiError(404, "nothing was checked here")

    @get(f"{BASE}/model")
    async def list_models(user: FromPath[str]) -> Response[list[Model]]:
        return Response(list(world.models.values()), headers={"X-Total-Count": str(len(world.models))})

    @get(f"{BASE}/ptm")
    async def list_ptms(user: FromPath[str]) -> list[Ptm]:
        return []

    @get(f"{BASE}/model/{{model:str}}")
    async def one_model(user: FromPath[str], model: FromPath[str]) -> Model:
        if model not in world.models:
            raise ApiError(404, f"there is no model {model}")
        return world.models[model]

    @get(f"{BASE}/model/{{model:str}}/release")
    async def preview_release(user: FromPath[str], model: FromPath[str]) -> ReleaseChange:
        if world.release_change is None:
            raise ApiError(404, f"there is no model {model}")
        return world.release_change

    @post(f"{BASE}/model/{{model:str}}/release", status_code=200)
    async def move_release(user: FromPath[str], model: FromPath[str], request: Request[Any, Any, Any]) -> ReleaseChange:
        body = msgspec.json.decode(await request.body(), type=ReleaseMove)
        change = world.release_change
        if change is None or (change.blocked and not body.abandon_checkpoints):
            raise ApiError(409, change.blocked if change else "there is no model")
        world.models[model] = msgspec.structs.replace(world.models[model], release=body.release)
        return change

    @get("/api/v1/tools")
    async def list_tools() -> list[ToolInfo]:
        return world.tools

    @post("/api/v1/tools/{tool:str}", status_code=201)
    async def install_tool(tool: FromPath[str], request: Request[Any, Any, Any]) -> ToolProgress:
        body = msgspec.json.decode(await request.body(), type=ToolInstall)
        if not body.accept_license:
            raise ApiError(400, "the licence was not accepted")
        return ToolProgress(f"{tool}-{body.release}{'-cpu' if body.cpu else ''}", 0, 0, "install")

    @delete("/api/v1/tools/{tool:str}", status_code=200)
    async def remove_tool(tool: FromPath[str]) -> Environment:
        (found,) = [each for info in world.tools for each in info.environments if each.name == tool]
        world.tools = [msgspec.structs.replace(info, environments=[]) for info in world.tools]
        return found

    @get(f"{BASE}/model/{{model:str}}/specs/{{action:str}}/schema")
    async def schema(user: FromPath[str], model: FromPath[str], action: FromPath[str]) -> dict[str, Any]:
        return world.schema

    @get(f"{BASE}/model/{{model:str}}/specs/{{action:str}}")
    async def spec(user: FromPath[str], model: FromPath[str], action: FromPath[str]) -> dict[str, Any]:
        raise ApiError(404, "no specification was saved")

    @put(f"{BASE}/model/{{model:str}}/specs/{{action:str}}")
    async def merge_spec(
        user: FromPath[str], model: FromPath[str], action: FromPath[str], request: Request[Any, Any, Any]
    ) -> Response[Any]:
        body = msgspec.json.decode(await request.body())
        return Response({"saved": True} | body, headers={"X-Taod-Warnings": "gpu_ids is not known"})

    @post(f"{BASE}/model/{{model:str}}/job")
    async def run(user: FromPath[str], model: FromPath[str], request: Request[Any, Any, Any]) -> Any:
        asked = msgspec.json.decode(await request.body())
        if request.query_params.get("dry_run") == "true":
            return [planned(number, action) for entry in asked for number, action in enumerate(entry["actions"], 1)]
        return [world.add_job(action=action, owner_id=model).id for entry in asked for action in entry["actions"]]

    def error_answer(request: Request[Any, Any, Any], error: ApiError) -> Response[ErrorBody]:
        return Response(ErrorBody(error.status, error.words), status_code=error.status)

    return Litestar(
        [
            index,
            health,
            login,
            devices,
            queue,
            change_queue,
            networks,
            network,
            list_jobs,
            counts,
            detail,
            sweep,
            sweep_csv,
            finish_sweep,
            act,
            change,
            remove,
            log,
            files,
            file,
            events,
            create_dataset,
            list_datasets,
            delete_dataset,
            upload,
            summary,
            report,
            list_models,
            list_ptms,
            preview_release,
            move_release,
            list_tools,
            install_tool,
            remove_tool,
            schema,
            one_model,
            spec,
            merge_spec,
            run,
        ],
        before_request=gate,
        exception_handlers={ApiError: error_answer},
        openapi_config=None,
        request_max_body_size=None,
    )


def serving(world: World) -> Any:
    """The application over `world`, with broken connections and delays as `world` asks for them."""
    app = application()

    async def run(scope: Any, receive: Any, send: Any) -> None:
        SERVED.set(world)
        held = next((event for end, event in world.held.items() if scope.get("path", "").endswith(end)), None)
        if held is not None:
            await held.wait()
        late = next((event for end, event in world.late.items() if scope.get("path", "").endswith(end)), None)
        if late is not None:

            async def send_late(message: Any, send: Any = send) -> None:
                world.waiting += 1
                await late.wait()
                world.waiting -= 1
                await send(message)

            await app(scope, receive, send_late)
            return
        end = next((end for end in world.unheard if scope.get("path", "").endswith(end)), None)
        if end is None or not world.unheard[end]:
            await app(scope, receive, send)
            return
        world.unheard[end] -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})  # and the line is closed

    return run


class ContractServer:
    """The server on a socket of this machine, in the running event loop."""

    def __init__(self) -> None:
        self.world = World()
        self.port = 0
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, after a restart on the same port; returns when requests are answered."""
        self.world.closing = False
        config = uvicorn.Config(
            serving(self.world), host="127.0.0.1", port=self.port,
            log_level="critical", lifespan="off",
        )  # fmt: skip
        config.load()
        self._server = server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        self.port = server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every stream and the socket; without the pauses of uvicorn's own shutdown."""
        if self._server is None:
            return
        await self.world.close()
        server, self._server = self._server, None
        for listening in server.servers:
            listening.close()
        state = server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            _, late = await asyncio.wait(state.tasks, timeout=2)
            for task in late:
                task.cancel()


def curve(*values: float | None) -> dict[str, float | None]:
    """Values of epochs 1, 2, …"""
    return {str(epoch): value for epoch, value in enumerate(values, 1)}


def kpi(metric: str, *values: float | None) -> Kpi:
    return Kpi(metric, curve(*values))


def epoch_line(job_id: str, epoch: int, **kpis: float) -> StatusUpdate:
    """The status line that ends an epoch."""
    return StatusUpdate(job_id, "RUNNING", "Training loop in progress", epoch, 8, kpi=dict(kpis))
