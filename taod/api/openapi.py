"""The OpenAPI document: Litestar's own reading of the controllers, with the bodies and queries that handlers read."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

import taod
from taod.api.dependencies import PathText
from taod.api.routes import CONTROLLERS
from taod.types.common import ErrorBody, JobSort, Sort
from taod.types.dataset import DatasetType
from taod.types.state import State, Status

Document = dict[str, Any]

_REF = "#/components/schemas/{name}"
_INTEGER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_QUERIES: dict[str, tuple[str, Document]] = {
    "skip": ("Entries to leave out", _INTEGER),
    "size": ("Entries at most; all without it", _INTEGER),
    "sort": ("Order", {"type": "string", "enum": list(Sort)}),
    "job_sort": ("Order", {"type": "string", "enum": list(JobSort)}),
    "name": ("Part of the name, in any case", _TEXT),
    "type": ("Type of the data set", {"type": "string", "enum": list(DatasetType)}),
    "arch": ("Network architecture", _TEXT),
    "read_only": ("Whether it is read-only", _FLAG),
    "status": ("Status; several joined by commas", {"type": "string", "enum": list(Status)}),
    "state": ("State; several joined by commas", {"type": "string", "enum": list(State)}),
    "action": ("Action", _TEXT),
    "network": ("Network architecture, or type of the data set", _TEXT),
    "text": ("Part of an id, a name or a description, in any case", _TEXT),
    "tail": ("The last lines only, this many", _INTEGER),
    "dry_run": ("Answer 200 with what would be run; make no job", _FLAG),
    "popular": ("Only parameters that are shown first, or only others", _FLAG),
    "required": ("Only parameters that must be given, or only others", _FLAG),
    "automl": ("Only parameters that are swept, or only others", _FLAG),
    "hidden": ("Also parameters that the schema does not show", _FLAG),
    "follow": ("Go on until the job has ended", _FLAG),
    "last_event_id": ("Go on after this event", _TEXT),
}
_ERRORS = {"400": "Bad request", "401": "No token, or an unknown one", "404": "Not found"}
_VARIABLE = re.compile(r"\{(\w+)\}")
_OPEN = ("/api/v1/health", "/api/v1/login")


def build() -> Document:
    """The whole document, as JSON values."""
    app = _shadow()
    document: Document = app.openapi_schema.to_schema()
    components: Document = document.setdefault("components", {}).setdefault("schemas", {})
    _, errors = msgspec.json.schema_components([ErrorBody], ref_template=_REF)
    components.update(errors)
    for path, item, method, handler in _operations(app, document):
        operation = item[method]
        opt = handler.opt
        if "body" in opt:
            operation["requestBody"] = _body(opt["body"], components)
            operation["requestBody"]["content"] |= {name: {"schema": _TEXT} for name in opt.get("formats", ())}
        if opt.get("upload"):
            operation["requestBody"] = _upload()
        for status, kind in opt.get("answers", {}).items():
            operation["responses"][status] = {"description": "Otherwise", **_body(kind, components)}
            del operation["responses"][status]["required"]
        for name in opt.get("query", ()):
            operation.setdefault("parameters", []).append(_query(name))
        _declare_path(path, operation)
        for status, text in _ERRORS.items():
            content = {"application/json": {"schema": {"$ref": _REF.format(name="ErrorBody")}}}
            operation["responses"][status] = {"description": text, "content": content}
        if path.startswith(_OPEN):
            operation["security"] = []
    return document


def _shadow() -> Litestar:
    """An application that serves nothing: the same controllers, read for their description."""
    nothing = Provide(lambda: None, sync_to_thread=False)
    return Litestar(
        route_handlers=list(CONTROLLERS),
        dependencies={"services": nothing, "user": Provide(_user, sync_to_thread=False)},
        openapi_config=OpenAPIConfig(
            title="TAO Toolkit API",
            version=taod.__version__,
            description="The TAO Toolkit API on one workstation.",
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")},
            ),
            security=[{"bearer": []}],
            use_handler_docstrings=True,
        ),
        logging_config=None,
    )


def _user(user_id: PathText) -> None:
    """Stands where the application finds the user; its parameter belongs to every path that has it."""


def _operations(app: Litestar, document: Document) -> list[tuple[str, Document, str, Any]]:
    """(path, path item, method, handler) of every operation in the document."""
    handlers: dict[tuple[str, str], Any] = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                handlers[(route.path_format or "/", method.lower())] = handler
    return [
        (path, item, method, handlers[(path, method)])
        for path, item in document["paths"].items()
        for method in item
        if (path, method) in handlers
    ]


def _declare_path(path: str, operation: Document) -> None:
    """Every part of the path that varies is told, also where a handler reads it by itself."""
    parameters = operation.setdefault("parameters", [])
    told = {parameter["name"] for parameter in parameters}
    for name in _VARIABLE.findall(path):
        if name not in told:
            parameters.append({"name": name, "in": "path", "required": True, "schema": _TEXT})


def _body(kind: Any, components: Document) -> Document:
    (schema,), used = msgspec.json.schema_components([kind], ref_template=_REF)
    components.update(used)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _upload() -> Document:
    archive = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": archive}, "required": ["file"]}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": archive}},
    }


def _query(name: str) -> Document:
    description, schema = _QUERIES[name]
    return {
        "name": "sort" if name == "job_sort" else name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }
