"""The panel of devices: one row each, created once and then updated."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.types.device import Device
from tui.devices.row import DeviceRow, label, name
from tui.live import LiveNode, async_delivery


class DevicesPanel(LiveNode, VerticalScroll):
    """Shows the devices in the daemon's order."""

    def __init__(self) -> None:
        super().__init__(id="devices", classes="panel")
        self.can_focus = False
        self._devices: list[Device] = []
        self._one = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield Static("Reading devices …", id="devices-empty", classes="empty")

    def on_mount(self) -> None:
        self.border_title = "Devices"

    @property
    def names(self) -> dict[str, str]:
        """Short names by device id."""
        return {device.id: label(device) for device in self._devices}

    @async_delivery
    async def show(self, devices: list[Device]) -> None:
        """Show these devices and no others. Concurrent calls run one after the other."""
        async with self._one:
            self._devices = devices
            rows = list(self.query(DeviceRow))
            if devices and [row.device.id for row in rows] == [device.id for device in devices]:
                for row, device in zip(rows, devices, strict=True):
                    row.show_device(device)
            else:
                await self._mount(devices)
        slots = sum(device.slots for device in devices)
        leased = sum(len(device.leases) for device in devices)
        self.border_subtitle = f"{leased} of {slots} in use" if slots else ""

    async def _mount(self, devices: list[Device]) -> None:
        await self.remove_children()
        if devices:
            longest = max(len(name(device)) for device in devices)
            await self.mount(*(DeviceRow(device, longest) for device in devices))
        else:
            await self.mount(Static("No devices: jobs cannot start.", id="devices-empty", classes="empty"))
