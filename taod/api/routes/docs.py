"""Endpoints of the documentation: the OpenAPI document, and HTML pages without scripts and network access."""

from __future__ import annotations

import asyncio
import html
import threading
from functools import cache
from typing import Any

import msgspec
from litestar import Controller, Response, get

Document = dict[str, Any]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
summary { cursor: pointer; padding: .3rem 0; } code, pre { font-family: ui-monospace, monospace; }
.verb { display: inline-block; width: 4.5rem; font-weight: 700; }
pre { background: #8882; padding: .6rem; overflow: auto; }
:root { color-scheme: light dark; } table { border-collapse: collapse; } td { padding: .1rem .8rem .1rem 0; }
"""

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

FRONT = f"""<!doctype html><html lang=en><meta charset=utf-8><title>taod</title><style>{_STYLE}</style>
<h1>taod</h1>
<p>This address serves the TAO Toolkit API of one workstation: datasets, models, and jobs on its GPUs.</p>
<p>On that machine, <code>taod tui</code> opens the dashboard, and <code>taod --help</code> lists the commands.
From another one: <code>taod tui --url ADDRESS --token KEY</code>, with a key of <code>taod user add NAME</code>.</p>
<p>The API: <a href="/swagger">operations and schemas</a>, <a href="/openapi.json">OpenAPI as JSON</a>,
<a href="/openapi.yaml">as YAML</a>. Its requests need a token, <code>Authorization: Bearer TOKEN</code>.</p>
"""


class DocsController(Controller):
    """The documentation. It is equal on every machine and needs no token, which a browser could not send."""

    path = "/"
    include_in_schema = False

    @get("/")
    async def front(self) -> Response[bytes]:
        return Response(FRONT.encode(), media_type="text/html", headers=_HEADERS)

    @get("/openapi.json")
    async def as_json(self) -> Response[bytes]:
        return Response(await asyncio.to_thread(_written, "json"), media_type="application/json")

    @get("/openapi.yaml")
    async def as_yaml(self) -> Response[bytes]:
        return Response(await asyncio.to_thread(_written, "yaml"), media_type="application/yaml")

    @get(["/redoc", "/swagger"])
    async def as_page(self) -> Response[bytes]:
        return Response(await asyncio.to_thread(_written, "page"), media_type="text/html", headers=_HEADERS)


def _written(form: str) -> bytes:
    """The documentation as JSON, YAML or page, written once. Blocks for up to seconds."""
    with _WRITING:
        return _written_once(form)


@cache
def _written_once(form: str) -> bytes:
    if form == "json":
        return msgspec.json.encode(document())
    if form == "page":
        return page(document()).encode()
    import yaml  # Loaded on request, like the document itself.

    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True).encode()


_WRITING = threading.Lock()


@cache
def document() -> Document:
    """The OpenAPI document, built once at the first request."""
    from taod.api.openapi import document as openapi

    return msgspec.json.decode(msgspec.json.encode(openapi.build()), type=Document)


def page(doc: Document) -> str:
    """The HTML page: all operations by tag, then all schemas, with links."""
    by_tag: dict[str, list[str]] = {}
    for path, item in doc["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict):
                for tag in operation.get("tags", ["OTHER"]):
                    by_tag.setdefault(tag, []).append(_operation(method, path, operation, doc))
    title = html.escape(f"{doc['info']['title']} {doc['info']['version']}")
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{title}</h1><p>{html.escape(doc['info'].get('description', ''))}</p>")
    for tag, operations in by_tag.items():
        parts.append(f"<h2>{html.escape(tag)}</h2>{''.join(operations)}")
    parts.append("<h2>Schemas</h2>")
    for name, schema in doc["components"]["schemas"].items():
        shown = html.escape(name)
        parts.append(f'<details id="{shown}"><summary><code>{shown}</code></summary>{_json(schema)}</details>')
    return "".join(parts)


def _operation(method: str, path: str, operation: Document, doc: Document) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(parameter['name'])}</code><td>{html.escape(parameter['in'])}"
        f"<td>{html.escape(parameter.get('description') or '')}</tr>"
        for parameter in operation.get("parameters", [])
    )
    body = _json(operation["requestBody"]["content"]) if "requestBody" in operation else ""
    answers = "".join(
        f"<tr><td>{html.escape(status)}<td>{_answer(answer, doc)}</tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f'<details><summary><span class="verb">{method.upper()}</span><code>{html.escape(path)}</code> '
        f"{html.escape(operation.get('summary') or '')}</summary>"
        f"<p>{html.escape(operation.get('description') or '')}</p>"
        f"<table>{rows}</table>{body}<table>{answers}</table></details>"
    )


def _answer(answer: Document, doc: Document) -> str:
    """The description of a response, and a link to its schema."""
    if "$ref" in answer:
        answer = doc["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    shown = html.escape(answer.get("description") or "")
    for content in answer.get("content", {}).values():
        schema = content["schema"]
        reference = schema.get("$ref") or schema.get("items", {}).get("$ref")
        if reference:
            name = html.escape(reference.rpartition("/")[2])
            listed = " (list)" if "items" in schema else ""
            shown += f' <a href="#{name}"><code>{name}</code></a>{listed}'
    return shown


def _json(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{html.escape(text)}</pre>"
