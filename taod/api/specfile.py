"""Reads the body of a specification: JSON with any Content-Type, or the file of a tool by its Content-Type."""

from __future__ import annotations

import codecs
from typing import Any

from taod.api.dependencies import Call
from taod.api.request_parsing import read_object
from taod.errors import BadRequest
from taod.services import Services

_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_TEXT = "text/plain"
FORMATS = (_YAML[0], _TEXT)
"""Media types of a body besides JSON."""


async def read_spec(request: Call, services: Services, place: tuple[str, str, str, str]) -> dict[str, Any]:
    """The specification that a client sent. `place` is user, kind, owner and action, which determine the tool.

    YAML where the Content-Type says so; `text/plain` is the tool's own format, protobuf text for TF1.
    A JSON object is read as JSON with any Content-Type. Raises BadRequest.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (*_YAML, _TEXT):
        return await read_object(request)
    raw = (await request.body()).removeprefix(codecs.BOM_UTF8)
    if raw.lstrip().startswith(b"{"):
        try:
            return await read_object(request)
        except BadRequest:
            pass  # A flow mapping of YAML starts like this too.
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return services.specs.read(*place, text, "yaml" if content_type in _YAML else None)
