"""The one way from what a user types to a whole id: an id, a name, or the beginning of an id, in this order."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from taod.cli.support.output import short
from taod.errors import BadRequest
from taod.ids import is_id

if TYPE_CHECKING:
    from taod.client.http import Client

AT_ONCE = 500
"""Entries of one request while a list is read whole."""
TOLD = 10
"""Candidates that an error lists."""
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{0,35}", re.IGNORECASE)


async def dataset_id(client: Client, text: str) -> str:
    """Id of the dataset with this id or name, or whose id begins so. Raises BadRequest for none or several."""
    return await _by_id_or_name("dataset", client.datasets, text)


async def model_id(client: Client, text: str) -> str:
    """Id of the model or pretrained model with this id or name, or whose id begins so. Raises BadRequest."""
    return await _by_id_or_name("model", client.models, text)


async def job_id(client: Client, text: str) -> str:
    """Id of the job whose id begins so. Raises BadRequest for none or several."""
    if is_id(text):
        return text.lower()
    found = {}
    if _BEGINNING.fullmatch(text):
        async for view in everything(client.jobs, text=text.lower()):
            if view.id.startswith(text.lower()):
                found[view.id] = f"{view.action} of {view.owner_name}"
    return _only("job", text, found)


async def owner_id(client: Client, kind: str, text: str) -> str:
    """Id of a `model` or a `dataset`. Raises BadRequest."""
    return await (model_id if kind == "model" else dataset_id)(client, text)


async def everything(fetch: Callable[..., Awaitable[Any]], **query: Any) -> AsyncIterator[Any]:
    """A list whole, page by page."""
    read, total = 0, 1
    while read < total:
        page = await fetch(**query, skip=read, size=AT_ONCE)
        for item in page.items:
            yield item
        read, total = read + AT_ONCE, page.total


async def _by_id_or_name(kind: str, fetch: Callable[..., Awaitable[Any]], text: str) -> str:
    if is_id(text):
        return text.lower()
    # What may be the beginning of an id has to be looked for in the whole list; a name is found by the daemon.
    beginning = _BEGINNING.fullmatch(text) is not None
    found = {}
    async for item in everything(fetch, name=None if beginning else text):
        if item.name == text or (beginning and item.id.startswith(text.lower())):
            found[item.id] = item.name
    exact = {id: name for id, name in found.items() if name == text}
    return _only(kind, text, exact or found)


def _only(kind: str, text: str, found: dict[str, str]) -> str:
    if not found:
        how = "id begins" if kind == "job" else "id begins or name is"
        raise BadRequest(f"there is no {kind} whose {how} {text!r}; `taod {kind} ls` shows them")
    if len(found) > 1:
        told = [f"{id} ({name})" for id, name in list(found.items())[:TOLD]]
        more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
        raise BadRequest(f"{text!r} means {len(found)} {kind}s: {', '.join(told)}{more}; give more of the id")
    return next(iter(found))


def named(kind: str, id: str, name: str) -> str:
    """A resource in a sentence."""
    return f"{kind} {name!r} ({short(id)})"
