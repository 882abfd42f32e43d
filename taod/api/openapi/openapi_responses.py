"""Responses for the OpenAPI document: shared errors, and the responses of one operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec

from taod.types.common import ErrorBody

Document = dict[str, Any]

OPEN = ("/api/v1/health", "/api/v1/login")
"""Paths that need no token."""
_ERROR = ResponseSpec(ErrorBody, generate_examples=False)
BAD_REQUEST = {400: _ERROR}
"""For handlers without body and query; those have a 400 in any case."""
CONFLICT = {409: _ERROR}
UNSATISFIABLE = {416: _ERROR}
WARNING_HEADER = [ResponseHeader("X-Taod-Warnings", documentation_only=True)]

_ERRORS = {
    400: ("BadRequest", "Bad request, see reply body for details", "size=x: expected a whole number, 0 or more"),
    401: ("Unauthorized", "No token was sent, or it is not known", "the token is not known (any more)"),
    403: ("Forbidden", "The Host or the Origin may not use this server", "Origin 'null' may not use this server"),
    404: ("NotFound", "User, Dataset, Model, Job or Action not found", "there is no dataset 7"),
    409: ("Conflict", "Another request is changing the same resource", "it has changed meanwhile, read it again"),
    413: ("TooLarge", "A body or an archive is over its limit", "the body is over limits.body_bytes"),
    416: ("RangeNotSatisfiable", "The range begins after the end", "Range: bytes=9-: there are 4 bytes"),
    500: ("Failure", "A fault of the server; its log says why, under the request's id", "the server failed to answer"),
    503: (
        "Unavailable",
        "Another process holds the database of the root, for longer than 5 s",
        "another process holds the database of the root, nothing was changed; retry later",
    ),
    507: ("NoSpace", "The disk of the root is full", "the disk of the root is full; free some space and try again"),
}
_EXTRA_HEADERS: dict[int, Document] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    416: {"Content-Range": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "In seconds", "schema": {"type": "integer"}}},
}
_SUCCESS = {200: "Request fulfilled", 201: "Created", 206: "The requested range"}
_ID = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}

HEADERS: Document = {
    "RequestId": {"description": "The request's id, as the server's log has it", "schema": {"type": "string"}},
    "Total": {"description": "Length of the whole list", "schema": {"type": "integer", "minimum": 0}},
    "Warnings": {
        "description": "Warnings about the specification or the data, joined by `; `",
        "schema": {"type": "string"},
    },
}
SHARED: Document = {
    name: {
        "description": text,
        "headers": _ID | _EXTRA_HEADERS.get(status, {}),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorBody"},
                "example": {"error_code": status, "error_desc": example},
            }
        },
    }
    for status, (name, text, example) in _ERRORS.items()
}
"""Errors that operations share; a description may differ from the example."""


def responses(
    path: str, method: str, opt: Mapping[str, Any], *, success: int, content: Document, links: Document, warns: bool
) -> Document:
    """Status → response of one operation: success, a requested range, and errors."""
    described: Document = {"description": _SUCCESS[success], "headers": dict(_ID), "content": content}
    if "skip" in opt.get("query", ()):
        described["headers"]["X-Total-Count"] = {"$ref": "#/components/headers/Total"}
    if warns:
        described["headers"]["X-Taod-Warnings"] = {"$ref": "#/components/headers/Warnings"}
    if links:
        described["links"] = links
    found: Document = {str(success): described}
    if "Range" in opt.get("headers", ()):
        found["206"] = response(_SUCCESS[206], content)
    for status in error_statuses(path, method, opt):
        found[str(status)] = error(status)
    return found


def response(description: str, content: Document) -> Document:
    return {"description": description, "headers": dict(_ID), "content": content}


def error(status: int) -> Document:
    """A reference to a shared error."""
    return {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}


def error_statuses(path: str, method: str, opt: Mapping[str, Any]) -> list[int]:
    """Error statuses of an operation, by its path, method, query, body and headers."""
    found = {403, 500}
    if not path.startswith("/api/v1/health"):
        found.add(401)
    if "{" in path:
        found.add(404)
    if method != "get":
        found |= {503, 507}
    has_body = "body" in opt or "upload" in opt
    if has_body:
        found.add(413)
    if has_body or opt.get("query", ()) not in ((), ("last_event_id",)):
        found.add(400)
    if "Range" in opt.get("headers", ()):
        found.add(416)
    return sorted(found)
