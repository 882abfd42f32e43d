"""The line of keys at the bottom."""

from __future__ import annotations

from textual.screen import Screen
from textual.widgets import Footer

Shown = tuple[tuple[str, str, bool], ...]
"""Key, description and whether it is enabled."""


class KeyLine(Footer):
    """`Footer` that is rebuilt only when its contents change, and that releases the widgets of earlier keys.

    Textual's footer is rebuilt at every `refresh_bindings`, which events cause up to a hundred times a second; and
    each key widget watches it, so that old ones would be kept for as long as the dashboard is open.
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._shown: Shown | None = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        if not screen.app.app_focus or not self.is_attached or screen is not self.screen:
            return
        bindings = screen.active_bindings.values()
        shown = tuple(
            (each.binding.key, each.binding.description, each.enabled) for each in bindings if each.binding.show
        )
        if shown != self._shown:
            self._shown = shown
            super().bindings_changed(screen)

    async def recompose(self) -> None:
        await super().recompose()
        self.mutate_reactive(Footer.compact)  # A change makes the reactive drop watchers that are closed.
