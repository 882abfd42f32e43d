"""What handlers are given beside the request: the services, and the user in whose name the request is made."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request, Response
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, SkipValidation

from store.records import UserRecord
from taod.errors import NotFound
from taod.services import Services
from taod.services.page import Page

TOTAL = "X-Total-Count"

Call: TypeAlias = Request[Any, Any, Any]
PathText: TypeAlias = FromPath[str]
TheServices: TypeAlias = NamedDependency[SkipValidation[Services]]
TheUser: TypeAlias = NamedDependency[SkipValidation[UserRecord]]


def current_user(request: Call, user_id: PathText, services: TheServices) -> UserRecord:
    """The user of the path, who must be the one of the token; any other is not found, existing or not.

    Takes the services only to come after them: two dependencies at once would be resolved by a group of tasks, which
    takes longer than most requests spend in the store.
    """
    user: UserRecord | None = request.scope.get("user")
    if user is None or user.id != user_id.lower():
        raise NotFound(f"there is no user {user_id}; GET /api/v1 tells which one the token belongs to")
    return user


def dependencies(services: Services) -> dict[str, Provide]:
    """The application's dependencies."""
    return {
        "services": Provide(lambda: services, sync_to_thread=False),
        "user": Provide(current_user, sync_to_thread=False),
    }


def listed(page: Page[Any]) -> Response[Any]:
    """A page as an answer: its items, and the whole list's length in a header."""
    return Response(page.items, headers={TOTAL: str(page.total)})
