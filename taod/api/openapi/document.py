"""Builds the OpenAPI document from the controllers' routes, handler types and declared responses."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from litestar import Litestar, Response
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.routes import HTTPRoute

import taod
from taod.api.openapi import examples, openapi_responses, parameters
from taod.api.routes.all_routes import CONTROLLERS
from taod.types.common import ErrorBody
from taod.types.event import EventType

Document = dict[str, Any]

_REF = "#/components/schemas/{name}"
_METHODS = ("get", "post", "put", "patch", "delete")
_TAGS = {
    "DATASET": "Endpoints related to Dataset",
    "MODEL": "Endpoints related to Model",
    "PTM": "Pretrained models, and their weights on this machine",
    "JOB": "Jobs over all models and datasets of a user",
    "QUEUE": "The queue of all users, and its order",
    "TOOLS": "NVIDIA's tools as packages on this machine",
    "NOTIFY": "Notifications by commands, webhooks, e-mail and chat",
    "EVENTS": "Changes as a stream",
    "SERVER": "The server itself",
}
_ABOUT = (
    "The TAO Toolkit API on one workstation. Every response has `X-Request-ID`, adopted from the request if it is a "
    "valid token. Every GET has a HEAD; OPTIONS returns a path's methods. JSON bodies are read with any Content-Type. "
    "A trailing slash and repeated slashes in a path are accepted."
)


_EVENT = {
    "description": "Each event of the stream; `data` is JSON, whose type depends on the event's name",
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": list(EventType)},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}


class Operation(msgspec.Struct):
    """One route and method."""

    path: str
    method: str
    handler: HTTPRouteHandler
    id: str

    @property
    def name(self) -> str:
        return self.handler.handler_name.rpartition(".")[2]

    @property
    def opt(self) -> dict[str, Any]:
        return dict(self.handler.opt)


class Schemas:
    """The component schemas that operations refer to."""

    def __init__(self) -> None:
        self.found: Document = {}

    def reference(self, kind: Any) -> Document:
        """The schema of a type: a reference for a Struct or an enumeration."""
        (schema,), used = msgspec.json.schema_components([kind], ref_template=_REF)
        for name, component in used.items():
            component.pop("title", None)
            for described in component.get("properties", {}).values():
                _leave_out_raw(described)
            example = examples.SCHEMAS.get(name)
            if example is not None:
                component["examples"] = [msgspec.to_builtins(example)]
            self.found[name] = component
        return schema


def _leave_out_raw(described: Document) -> None:
    """Of `Result | msgspec.Raw` describe the Struct alone: the JSON of the other form is the same."""
    forms = described.get("anyOf", [])
    if {} in forms:
        (described["$ref"],) = (form["$ref"] for form in forms if form)
        del described["anyOf"]


def build() -> Document:
    """The document as JSON values."""
    schemas = Schemas()
    schemas.reference(ErrorBody)
    paths: Document = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TAO Toolkit API", "version": taod.__version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.found.items())),
            "responses": openapi_responses.SHARED,
            "headers": openapi_responses.HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `GET /api/v1/login/{key}`, or the one in the root's daemon.json",
                }
            },
        },
    }


def operations() -> list[Operation]:
    """All operations of the application, sorted by tag, path and method."""
    placeholders = {name: Provide(lambda: None, sync_to_thread=False) for name in ("services", "caller", "user")}
    app = Litestar(
        route_handlers=list(CONTROLLERS),
        dependencies=placeholders,
        openapi_config=None,
        logging_config=None,
    )
    found = [
        Operation(_public_path(route.path_format or "/"), method.lower(), handler, "")
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method.lower() in _METHODS
    ]
    order = list(_TAGS)
    found.sort(key=lambda each: (order.index(_tag(each)), each.path, _METHODS.index(each.method)))
    taken: set[str] = set()
    for operation in found:
        operation.id = _id(operation, taken)
        taken.add(operation.id)
    return found


def _public_path(path: str) -> str:
    """The path with the parameter names of the published API: `owner_id` becomes `model_id` or `dataset_id`."""
    kind = "dataset" if "/dataset/" in path else "model"
    return path.replace("{owner_id}", f"{{{kind}_id}}")


def _id(operation: Operation, taken: set[str]) -> str:
    """The operation id: the handler's name, with the kind of owner if several controllers share it."""
    tag = _tag(operation).lower()
    shared = operation.path.split("/")[5:6] == [tag] and operation.name in _shared_names()
    name = f"{tag}_{operation.name}" if shared else operation.name
    return name if name not in taken else f"{name}_{operation.path.rpartition('/')[2]}"


def _shared_names() -> set[str]:
    """Names of handlers in more than one controller, and names of one word."""
    names = [
        name
        for controller in CONTROLLERS
        for name, value in inspect.getmembers(controller)
        if isinstance(value, HTTPRouteHandler)
    ]
    return {name for name in names if names.count(name) > 1 or "_" not in name}


def _tag(operation: Operation) -> str:
    owner = operation.handler.owner
    assert owner is not None and owner.tags, operation.path
    return next(iter(owner.tags))


def _described(operation: Operation, schemas: Schemas) -> Document:
    described: Document = {
        "tags": [_tag(operation)],
        "summary": operation.handler.summary,
        "description": inspect.getdoc(operation.handler.fn),
        "operationId": operation.id,
    }
    if operation.path.startswith(openapi_responses.OPEN):
        described["security"] = []
    opt = operation.opt
    found = parameters.parameters(operation.path, opt.get("query", ()), opt.get("headers", ()))
    if found:
        described["parameters"] = found
    body = _body(operation, schemas)
    if body is not None:
        described["requestBody"] = body
    handler = operation.handler
    described["responses"] = openapi_responses.responses(
        operation.path,
        operation.method,
        opt,
        success=handler.status_code,
        content=_content(operation, schemas),
        links=examples.links(operation.path, operation.method),
        warns=bool(handler.response_headers),
    )
    for status, spec in (handler.responses or {}).items():
        kind = spec.data_container
        if kind is ErrorBody:
            described["responses"][str(status)] = openapi_responses.error(status)
        else:
            content = {"application/json": {"schema": schemas.reference(kind)} | _example(operation, kind)}
            described["responses"][str(status)] = openapi_responses.response(spec.description, content)
    return described


def _body(operation: Operation, schemas: Schemas) -> Document | None:
    if operation.opt.get("upload"):
        return _upload()
    kind = operation.opt.get("body")
    if kind is None:
        return None
    schema = schemas.reference(kind)
    if operation.name == "run_jobs":
        schema = {"anyOf": [schema | {"minItems": 1}, schemas.reference(get_args(kind)[0])]}
    needs = operation.opt.get("needs")
    if needs:
        schema = {"allOf": [schema, {"required": list(needs)}]}
    content: Document = {"schema": schema}
    found = examples.BODIES.get(operation.id)
    if found is not None:
        content["examples"] = {name: {"value": msgspec.to_builtins(value)} for name, value in found.items()}
    # YAML has the same schema; other text is in the tool's own format.
    text = {"type": "string"}
    formats = operation.opt.get("formats", ())
    files = {name: {"schema": content["schema"] if name.endswith("yaml") else text} for name in formats}
    return {"required": _requires_body(kind, needs), "content": {"application/json": content, **files}}


def _requires_body(kind: Any, needs: Any) -> bool:
    """Whether an empty body, which is read as `{}`, would be rejected."""
    if needs or get_origin(kind) is list:
        return True
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return any(field.required for field in msgspec.structs.fields(kind))
    return False


def _upload() -> Document:
    archive = {"type": "string", "format": "binary", "description": ".tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .zip"}
    form = {
        "type": "object",
        "properties": {"file": archive, "message": archive},
        "anyOf": [{"required": ["file"]}, {"required": ["message"]}],
    }
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": archive}},
    }


def _content(operation: Operation, schemas: Schemas) -> Document:
    """Media type → content of a successful response."""
    returned = get_type_hints(operation.handler.fn)["return"]
    if get_origin(returned) is Response:
        (returned,) = get_args(returned)
    example = _example(operation, returned)
    if returned in (Stream, bytes):
        kind = str(operation.handler.opt.get("content", operation.handler.media_type))
        schema: Document = _EVENT if operation.name == "events" else {"type": "string"}
        return {kind: {"schema": schema} | example}
    return {"application/json": {"schema": schemas.reference(returned)} | example}


def _example(operation: Operation, returned: Any) -> Document:
    example = examples.answer(operation.name, returned)
    return {} if example is None else {"example": msgspec.to_builtins(example)}
