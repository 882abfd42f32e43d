"""The MCP server of `taod mcp`: it lists the tools and calls them with a client of the daemon.

Model Context Protocol, https://modelcontextprotocol.io; the official SDK speaks it.
"""

from __future__ import annotations

from typing import Any

import mcp_types as types
import msgspec
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from taod import __version__
from taod.cli.support.agent_tools import TOOLS, Tool
from taod.client import AsyncClient
from taod.client.errors import ClientError
from taod.errors import TaodError

INSTRUCTIONS = """taod trains and runs computer-vision models of the NVIDIA TAO Toolkit on one workstation. Datasets and
models own jobs; each action of a network (train, evaluate, export, ...) has a specification. A run of several actions
is a chain: each job starts when its parent is done."""


async def serve(client: AsyncClient, *, write: bool) -> None:
    """Answer requests from standard input until it ends. `write`: offer tools that change something as well."""
    tools = {tool.name: tool for tool in TOOLS if write or not tool.writes}

    async def list_tools(_: object, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in tools.values()])

    async def call_tool(_: object, asked: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(asked.name)
        if tool is None:
            hint = "; start `taod mcp --write` to allow changes" if any(asked.name == one.name for one in TOOLS) else ""
            return _failed(f"unknown tool {asked.name!r}{hint}")
        try:
            given = msgspec.convert(asked.arguments or {}, tool.arguments)
            found = msgspec.to_builtins(await tool.call(client, given), str_keys=True)
        except (msgspec.ValidationError, ClientError, TaodError) as error:
            return _failed(str(error))
        text = msgspec.json.encode(found).decode()
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=found)

    server = Server("taod", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools,
                    on_call_tool=call_tool)  # fmt: skip
    async with stdio_server() as (requests, answers):
        await server.run(requests, answers, server.create_initialization_options())


def _failed(why: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=why)], is_error=True)


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=schema(tool.arguments),
        output_schema=schema(tool.result),
        annotations=types.ToolAnnotations(read_only_hint=not tool.writes, open_world_hint=False),
    )


def schema(kind: object) -> dict[str, Any]:
    """JSON Schema of a Struct with an object at its top, as the protocol requires."""
    found = msgspec.json.schema(kind)
    definitions = found.pop("$defs", {})
    if "$ref" in found:
        found = definitions[found["$ref"].rpartition("/")[2]]
    return {**found, "$defs": definitions}
