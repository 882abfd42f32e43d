"""`client.networks`, `client.devices`: the catalogue of networks, and the daemon's devices."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import quote

from taod.client.transport import Namespace
from taod.types.device import Device
from taod.types.network import NetworkInfo, ParameterInfo

Networks: TypeAlias = list[NetworkInfo]
Parameters: TypeAlias = list[ParameterInfo]
Devices: TypeAlias = list[Device]


class AsyncNetworks(Namespace):
    """Networks and dataset types of the catalogue."""

    async def list(self, release: str | None = None) -> Networks:
        """The networks of a release of NVIDIA's tools (default 5.0)."""
        return await self._transport.call("GET", "/api/v1/networks", Networks, query={"release": release})

    async def get(self, name: str, release: str | None = None) -> NetworkInfo:
        """One network, of a release or of the first that has it."""
        query = {"release": release}
        return await self._transport.call("GET", f"/api/v1/networks/{quote(name, safe='')}", NetworkInfo, query=query)

    async def parameters(
        self,
        network: str,
        action: str | None = None,
        *,
        popular: bool | None = None,
        required: bool | None = None,
        automl: bool | None = None,
        hidden: bool | None = None,
        text: str | None = None,
        release: str | None = None,
    ) -> Parameters:
        """The parameters of a network's specifications; arguments are filters; `hidden` adds hidden ones."""
        query = {
            "action": action,
            "popular": popular,
            "required": required,
            "automl": automl,
            "hidden": hidden,
            "text": text,
            "release": release,
        }
        return await self._transport.call(
            "GET", f"/api/v1/networks/{quote(network, safe='')}/parameters", Parameters, query=query
        )


class AsyncDevices(Namespace):
    """GPUs, MIG instances and CPU slots."""

    async def list(self) -> Devices:
        return await self._transport.call("GET", "/api/v1/devices", Devices)
