"""Resolution of an argument to a resource id: an id, a name, or a unique prefix of an id, in this order."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from taod.cli.support.output import short
from taod.errors import BadRequest
from taod.ids import is_id
from taod.types.common import OwnerKind

if TYPE_CHECKING:
    from taod.client import AsyncClient

PAGE_SIZE = 500
"""Items per request while a whole list is read."""
LISTED = 10
"""Candidates that an error lists."""
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{0,35}", re.IGNORECASE)


async def dataset_id(client: AsyncClient, text: str) -> str:
    """Id of the dataset with this id, name or unique id prefix. Raises BadRequest for none or several."""
    return await _by_id_or_name("dataset", client.datasets.list, text)


async def model_id(client: AsyncClient, text: str) -> str:
    """Id of the model or pretrained model with this id, name or unique id prefix. Raises BadRequest."""
    return await _by_id_or_name("model", client.models.list, text)


async def job_id(client: AsyncClient, text: str) -> str:
    """Id of the job with this unique id prefix. Raises BadRequest for none or several."""
    if is_id(text):
        return text.lower()
    found = {}
    if _PREFIX.fullmatch(text):
        async for view in everything(client.jobs.list, text=text.lower()):
            if view.id.startswith(text.lower()):
                found[view.id] = f"{view.action} of {view.owner_name}"
    return _only("job", text, found)


async def owner_id(client: AsyncClient, kind: OwnerKind, text: str) -> str:
    """Id of a `model` or a `dataset`. Raises BadRequest."""
    return await (model_id if kind == "model" else dataset_id)(client, text)


async def everything(fetch: Callable[..., Awaitable[Any]], **query: Any) -> AsyncIterator[Any]:
    """Yield all items of a list, page by page."""
    read, total = 0, 1
    while read < total:
        page = await fetch(**query, skip=read, size=PAGE_SIZE)
        for item in page.items:
            yield item
        read, total = read + PAGE_SIZE, page.total


async def _by_id_or_name(kind: str, fetch: Callable[..., Awaitable[Any]], text: str) -> str:
    if is_id(text):
        return text.lower()
    # The daemon can filter by name, but not by id prefix.
    may_be_prefix = _PREFIX.fullmatch(text) is not None
    found = {}
    async for item in everything(fetch, name=None if may_be_prefix else text):
        if item.name == text or (may_be_prefix and item.id.startswith(text.lower())):
            found[item.id] = item.name
    exact = {id: name for id, name in found.items() if name == text}
    return _only(kind, text, exact or found)


def _only(kind: str, text: str, found: dict[str, str]) -> str:
    if not found:
        keys = "id" if kind == "job" else "id or name"
        raise BadRequest(f"there is no {kind} with {keys} {text!r}; `taod {kind} ls` lists them")
    if len(found) > 1:
        listed = [f"{id} ({name})" for id, name in list(found.items())[:LISTED]]
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise BadRequest(
            f"{text!r} matches {len(found)} {kind}s: {', '.join(listed)}{more}; give a longer prefix of the id"
        )
    return next(iter(found))


def named(kind: str, id: str, name: str) -> str:
    """A resource as it appears in a sentence."""
    return f"{kind} {name!r} ({short(id)})"
