"""Dependencies of handlers: the services, and the user of the request."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation

from store.records import UserRecord
from taod.errors import NotFound
from taod.services import Services

Call: TypeAlias = Request[Any, Any, Any]
PathText: TypeAlias = FromPath[str]
TheServices: TypeAlias = NamedDependency[SkipValidation[Services]]
TheUser: TypeAlias = NamedDependency[SkipValidation[UserRecord]]


def caller(request: Call, services: TheServices) -> UserRecord:
    """The user of the token, whom the middleware has found.

    It depends on the services only for the order: Litestar resolves two independent dependencies in a task group, which
    takes longer than most requests spend in the store.
    """
    user: UserRecord = request.scope["user"]
    return user


def current_user(request: Call, user_id: PathText, services: TheServices) -> UserRecord:
    """The user in the path. Raises NotFound unless it is the user of the token."""
    user = caller(request, services)
    if user.id != user_id.lower():
        raise NotFound(f"user {user_id} not found; GET /api/v1 lists the user of the token")
    return user


def dependencies(services: Services) -> dict[str, Provide]:
    """The application's dependencies."""
    return {
        "services": Provide(lambda: services, sync_to_thread=False),
        "caller": Provide(caller, sync_to_thread=False),
        "user": Provide(current_user, sync_to_thread=False),
    }
