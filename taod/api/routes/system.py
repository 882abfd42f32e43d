"""Endpoints of the server itself: index, health, login, networks, devices, metrics."""

from __future__ import annotations

from litestar import Controller, Response, get
from litestar.openapi.datastructures import ResponseSpec

import taod
from taod.api import query
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.responses import read
from taod.services.networks import ParameterFilter
from taod.types.common import Health, Login
from taod.types.device import Device
from taod.types.network import NetworkInfo, ParameterInfo

_USER_PATHS = ("dataset", "model", "job", "job/counts", "queue", "ptm", "events")


class SystemController(Controller):
    """The server itself."""

    path = "/api/v1"
    tags = ("SERVER",)

    @get(summary="Index of the API")
    async def index(self, caller: TheUser) -> dict[str, str]:
        """Paths of the API, with the user's own."""
        below = ("networks", "devices", "queue", "tools", "notify", "health", f"user/{caller.id}")
        links = {name: f"/api/v1/{name}" for name in below}
        return links | {"openapi": "/openapi.json", "metrics": "/metrics"}

    @get("/user/{user_id:str}", summary="Index of a user")
    async def user_index(self, user: TheUser) -> dict[str, str]:
        """Paths of the user's resources."""
        return {"id": user.id, "name": user.name} | {name: f"/api/v1/user/{user.id}/{name}" for name in _USER_PATHS}

    @get(["/health", "/health/liveness"], summary="Whether the server answers")
    async def health(self, services: TheServices) -> Health:
        """Answers as soon as the server listens."""
        return _health(services, "ok")

    @get(
        "/health/readiness",
        summary="Whether the server schedules jobs",
        responses={503: ResponseSpec(Health, description="The server does not schedule jobs yet")},
    )
    async def readiness(self, services: TheServices) -> Response[Health]:
        """Answers 503 until jobs are scheduled, and while the database is lost."""
        services.store.verify()
        if services.ready:
            return Response(_health(services, "ok"))
        return Response(_health(services, "starting"), status_code=503)

    @get("/login/{key:str}", summary="Exchange a key for a token")
    async def login(self, services: TheServices, key: PathText) -> Login:
        """A bearer token for a key that `taod user add` or `taod user key` has created."""
        return services.users.login(key)

    @get("/networks", summary="Networks and dataset types", opt={"query": ("release",)})
    async def networks(self, request: Call, services: TheServices, caller: TheUser) -> Response[list[NetworkInfo]]:
        """The catalogue: actions, formats, and the runners that can run each action here."""
        return await read(services, caller.id, services.networks.all, query.text(request, "release"))

    @get("/networks/{name:str}", summary="One network or dataset type", opt={"query": ("release",)})
    async def network(
        self, request: Call, services: TheServices, caller: TheUser, name: PathText
    ) -> Response[NetworkInfo]:
        """One entry of the catalogue: actions, formats, and the runners that can run each action here."""
        return await read(services, caller.id, services.networks.get, name, query.text(request, "release"))

    @get(
        "/networks/{name:str}/parameters",
        summary="Parameters of a network's specifications",
        opt={"query": ("action", "popular", "required", "automl", "hidden", "text", "release")},
    )
    async def network_parameters(
        self, request: Call, services: TheServices, caller: TheUser, name: PathText
    ) -> Response[list[ParameterInfo]]:
        """Parameters of the network's specifications with type, default, limits and rules; filters narrow."""
        wanted = ParameterFilter(
            action=query.text(request, "action"),
            popular=query.flag(request, "popular"),
            required=query.flag(request, "required"),
            automl=query.flag(request, "automl"),
            hidden=bool(query.flag(request, "hidden")),
            text=query.text(request, "text"),
            release=query.text(request, "release"),
        )
        return await read(services, caller.id, services.networks.parameters, name, wanted)

    @get("/devices", summary="Devices, their leases and load")
    async def devices(self, services: TheServices, caller: TheUser) -> list[Device]:
        """Devices with their load; a lease names its job only to the job's owner."""
        return await services.devices_view.seen_by(caller.id)


class MetricsController(Controller):
    """Metrics for Prometheus."""

    path = "/metrics"
    tags = ("SERVER",)

    @get(summary="Metrics in the text format of Prometheus", media_type="text/plain")
    async def metrics(self, services: TheServices) -> Response[bytes]:
        """Jobs by state, devices, listeners and uptime."""
        from prometheus_client import CONTENT_TYPE_LATEST  # Loaded on request: most daemons serve no metrics.

        from taod.api.routes.metrics import render

        return Response(render(services), media_type=CONTENT_TYPE_LATEST)


def _health(services: TheServices, status: str) -> Health:
    return Health(status=status, version=taod.__version__, uptime_s=round(services.uptime_s, 3))
