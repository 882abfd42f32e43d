"""Answers for the OpenAPI document: which status codes an operation may have, and what each carries."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

OPEN = ("/api/v1/health", "/api/v1/login")
"""Paths that need no token."""
RANGED = frozenset({"get_log", "get_file"})
"""Handlers that read the header Range."""
LISTED = frozenset({"list_datasets", "list_models", "list_jobs", "list_all", "list_queue"})
"""Handlers that tell the whole list's length in a header."""
WARNING = frozenset({"post_specs", "put_specs", "run_jobs", "get_dataset"})

_CHANGED = (409,)
_BODY = (400, 413)
_REFUSES: dict[str, tuple[int, ...]] = {
    "list_datasets": (400,),
    "create_dataset": _BODY,
    "put_dataset": _BODY,
    "patch_dataset": _BODY,
    "delete_dataset": (400, *_CHANGED),
    "upload_dataset": (*_BODY, *_CHANGED, 416),
    "put_upload": (*_BODY, *_CHANGED, 416),
    "delete_upload": _CHANGED,
    "link_dataset": (*_BODY, *_CHANGED),
    "begin_check": _BODY,
    "make_dataset": _BODY,
    "get_sample": (400,),
    "list_models": (400,),
    "create_model": _BODY,
    "put_model": _BODY,
    "patch_model": _BODY,
    "delete_model": (400, *_CHANGED),
    "list_ptms": (400,),
    "register_ptm": _BODY,
    "list_jobs": (400,),
    "run_jobs": _BODY,
    "delete_job": (400, *_CHANGED),
    "cancel_job": _CHANGED,
    "cancel_or_pause_job": _CHANGED,
    "resume_job": (400, *_CHANGED),
    "list_all": (400,),
    "network_parameters": (400,),
    "counts": (400,),
    "change": (*_BODY, *_CHANGED),
    "remove": (400, *_CHANGED),
    "cancel": _CHANGED,
    "pause": (400, *_CHANGED),
    "resume": (400, *_CHANGED),
    "finish_sweep": (400, *_CHANGED),
    "change_queue": _BODY,
    "list_queue": (400,),
    "install_tool": (*_BODY, *_CHANGED),
    "check_tool": (400, *_CHANGED),
    "remove_tool": (400, *_CHANGED),
    "post_specs": _BODY,
    "put_specs": _BODY,
    "get_log": (400, 416),
    "get_file": (416,),
}
"""What each handler refuses, beside what all do: no token 401, no such host 403, nothing there 404, a fault 500."""

_TOLD = {
    400: ("BadRequest", "Bad request, see reply body for details", "size=x: expected a whole number, 0 or more"),
    401: ("Unauthorized", "No token was sent, or it is not known", "the token is not known (any more)"),
    403: ("Forbidden", "The Host or the Origin may not use this server", "Origin 'null' may not use this server"),
    404: ("NotFound", "User, Dataset, Model, Job or Action not found", "there is no dataset 7"),
    409: ("Conflict", "Someone else is doing this right now", "it has changed meanwhile, read it again"),
    413: ("TooLarge", "A body or an archive is over its limit", "the body is over limits.body_bytes"),
    416: ("RangeNotSatisfiable", "The range begins after the end", "Range: bytes=9-: there are 4 bytes"),
    500: ("Failure", "A fault of the server; its log says why, under the request's id", "the server failed to answer"),
    503: (
        "Unavailable",
        "Another process holds the database of the root, for longer than 5 s",
        "another process holds the database of the root, nothing was changed; send it again when it has let go",
    ),
    507: ("NoSpace", "The disk of the root is full", "the disk of the root is full; free some space and try again"),
}
_EXTRA_HEADERS: dict[int, Document] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    416: {"Content-Range": {"schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "In seconds", "schema": {"type": "integer"}}},
}
_SUCCESS = {200: "Request fulfilled", 201: "Created", 206: "The range that was asked for"}
_ID = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}

HEADERS: Document = {
    "RequestId": {"description": "The request's id, as the server's log has it", "schema": {"type": "string"}},
    "Total": {"description": "Length of the whole list", "schema": {"type": "integer", "minimum": 0}},
    "Warnings": {
        "description": "What was noticed about the spec or the data, joined by `; `",
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
                "example": {"error_code": status, "error_desc": words},
            }
        },
    }
    for status, (name, text, words) in _TOLD.items()
}
"""Refusals as every operation has them; each may say more than its example."""


def of(path: str, method: str, name: str, *, success: int, content: Document, links: Document) -> Document:
    """The answers of one operation by status code, successes first."""
    told: Document = {"description": _SUCCESS[success], "headers": dict(_ID), "content": content}
    if name in LISTED:
        told["headers"]["X-Total-Count"] = {"$ref": "#/components/headers/Total"}
    if name in WARNING:
        told["headers"]["X-Taod-Warnings"] = {"$ref": "#/components/headers/Warnings"}
    if links:
        told["links"] = links
    found: Document = {str(success): told}
    if name in RANGED:
        found["206"] = {"description": _SUCCESS[206], "headers": dict(_ID), "content": content}
    if name == "readiness":
        found["503"] = {"description": "The server takes no work yet", "headers": dict(_ID), "content": content}
    for status in codes(path, method, name):
        found[str(status)] = {"$ref": f"#/components/responses/{_TOLD[status][0]}"}
    return found


def other(text: str, content: Document) -> Document:
    """A success that an operation has beside its own."""
    return {"description": text, "headers": dict(_ID), "content": content}


def codes(path: str, method: str, name: str) -> list[int]:
    """The refusals that an operation may answer with."""
    found = {403, 500, *_REFUSES.get(name, ())}
    if not path.startswith("/api/v1/health"):
        found.add(401)
    if "{" in path:
        found.add(404)
    if method != "get":
        found |= {503, 507}
    return sorted(found)
