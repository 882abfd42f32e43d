"""Endpoints of NVIDIA's tools as packages: list, install, check, remove."""

from __future__ import annotations

from litestar import Controller, delete, get, post

from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import BAD_REQUEST, CONFLICT
from taod.api.request_parsing import read_body
from taod.types.tool import Environment, ToolInfo, ToolInstall, ToolProgress


class ToolController(Controller):
    """Tools of the root. Everyone may list them; its first user changes them."""

    path = "/api/v1/tools"
    tags = ("TOOLS",)

    @get(summary="Tools that can be installed, with their environments")
    async def list_tools(self, services: TheServices) -> list[ToolInfo]:
        return await services.tools.all()

    @post(
        "/{tool:str}",
        summary="Install a tool, or resume its installation",
        opt={"body": ToolInstall},
        responses=CONFLICT,
    )
    async def install_tool(self, request: Call, services: TheServices, caller: TheUser, tool: PathText) -> ToolProgress:
        """Answers once the installation has started; `tool` events report its progress and its end."""
        return await services.tools.install(caller, tool, await read_body(request, ToolInstall, answer=ToolProgress))

    @post(
        "/{tool:str}/check", summary="Import every action of an installed tool again", responses=BAD_REQUEST | CONFLICT
    )
    async def check_tool(self, services: TheServices, caller: TheUser, tool: PathText) -> ToolProgress:
        """Answers once the check has started; `tool` events report its progress and its end."""
        return services.tools.check(caller, tool)

    @delete("/{tool:str}", status_code=200, summary="Remove an installed tool", responses=BAD_REQUEST | CONFLICT)
    async def remove_tool(self, services: TheServices, caller: TheUser, tool: PathText) -> Environment:
        return await services.tools.remove(caller, tool)
