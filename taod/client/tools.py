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
        """Start an installation, or resume one; `tool` events report its progress and its end."""
        body = ToolInstall(accept_license, release, cpu, python)
        return await self._transport.call("POST", f"{PATH}/{quote(tool, safe='')}", ToolProgress, body=body)

    async def check(self, environment: str) -> ToolProgress:
        """Start to import every action of an environment again; `tool` events report its progress and its end."""
        return await self._transport.call("POST", f"{PATH}/{quote(environment, safe='')}/check", ToolProgress)

    async def remove(self, environment: str) -> Environment:
        """Remove an environment; returns it as it was."""
        return await self._transport.call("DELETE", f"{PATH}/{quote(environment, safe='')}", Environment)
