"""`client.tools`: NVIDIA's tools as packages on the daemon's machine."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import quote

from taod.client.transport import Namespace
from taod.types.tool import Environment, ToolInfo, ToolInstall, ToolProgress

Tools: TypeAlias = list[ToolInfo]
PATH = "/api/v1/tools"


class AsyncTools(Namespace):
    """Tools of the daemon's root. Only its first user may change them."""

    async def list(self) -> Tools:
        """Every release of every tool that can be installed, with its environments."""
        return await self._transport.call("GET", PATH, Tools)

    async def install(
        self,
        tool: str,
        *,
        release: str | None = None,
        cpu: bool = False,
        python: str | None = None,
        accept_license: bool = False,
    ) -> ToolProgress:
        """Start or resume an installation; `tool` events report its progress and end."""
        body = ToolInstall(accept_license, release, cpu, python)
        return await self._transport.call("POST", f"{PATH}/{quote(tool, safe='')}", ToolProgress, body=body)

    async def check(self, environment: str) -> ToolProgress:
        """Start a check that imports every action of an environment; `tool` events report its progress and end."""
        return await self._transport.call("POST", f"{PATH}/{quote(environment, safe='')}/check", ToolProgress)

    async def remove(self, environment: str) -> Environment:
        """Remove an environment. Returns its last state."""
        return await self._transport.call("DELETE", f"{PATH}/{quote(environment, safe='')}", Environment)
