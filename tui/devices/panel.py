"""The devices' part of the screen: a line for each, made once and then told what changed."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from taod.types.device import Device
from tui.devices.row import DeviceRow, label, name
from tui.live import Live, async_delivery


class DevicesPanel(Live, VerticalScroll):
    """Shows devices in the daemon's order."""

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
        """From the id of each device to its short name."""
        return {device.id: label(device) for device in self._devices}

    @async_delivery
    async def show(self, devices: list[Device]) -> None:
        """Show these devices, and no others. Whoever calls while another's are being mounted comes after them."""
        async with self._one:
            self._devices = devices
            rows = list(self.query(DeviceRow))
            if devices and [row.device.id for row in rows] == [device.id for device in devices]:
                for row, device in zip(rows, devices, strict=True):
                    row.tell(device)
            else:
                await self._mount(devices)
        slots = sum(device.slots for device in devices)
        held = sum(len(device.leases) for device in devices)
        self.border_subtitle = f"{held} of {slots} in use" if slots else ""

    async def _mount(self, devices: list[Device]) -> None:
        await self.remove_children()
        if devices:
            longest = max(len(name(device)) for device in devices)
            await self.mount(*(DeviceRow(device, longest) for device in devices))
        else:
            await self.mount(Static("No devices: every job waits.", id="devices-empty", classes="empty"))
