"""The HTTP application: controllers, dependencies, error handlers, middleware, and the services' lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from taod.api.dependencies import dependencies
from taod.api.error_handlers import HANDLERS
from taod.api.middleware.auth_middleware import AuthMiddleware
from taod.api.middleware.request_id_middleware import RequestIdMiddleware
from taod.api.routes.all_routes import CONTROLLERS
from taod.api.routes.docs import DocsController
from taod.services import Services


class _Application(Litestar):
    """Litestar without its default plugins: those for pydantic and attrs are not needed, and importing pydantic takes
    as long as the rest of a start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def create_app(services: Services) -> Litestar:
    """The complete application. Its lifespan starts and stops the services; the caller closes the store."""
    app = routed(services)
    app.asgi_handler = guarded(app.asgi_handler, services)
    return app


def guarded(handler: ASGIApp, services: Services) -> ASGIApp:
    """The handler behind the middleware: request id, then authentication."""
    return RequestIdMiddleware(AuthMiddleware(handler, services.users, services.config.server))


def routed(services: Services) -> Litestar:
    """The application without the middleware."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.stop()

    limits = services.config.limits
    return _Application(
        route_handlers=[*CONTROLLERS, DocsController],
        dependencies=dependencies(services),
        exception_handlers=HANDLERS,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=max(limits.body_bytes, limits.spec_bytes),
        state=State({"parser": services.parser}),
        debug=False,
    )
