"""The dashboard as a Textual app; everything that it shows is on its screens."""

from __future__ import annotations

from textual.app import App

from taod.client import Client
from taod.client.events import Rediscover
from tui.screens.main import MainScreen
from tui.theme import THEME


class Dashboard(App[None]):
    """Shows one daemon. `rediscover` finds it again after a restart; without it the same address is tried."""

    TITLE = "taod"
    CSS_PATH = "taod.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, rediscover: Rediscover | None = None) -> None:
        super().__init__()
        self._client, self._rediscover = client, rediscover
        self.register_theme(THEME)
        self.theme = THEME.name

    def on_mount(self) -> None:
        self.push_screen(MainScreen(self._client, self._rediscover))

    async def on_unmount(self) -> None:
        await self._client.aclose()
