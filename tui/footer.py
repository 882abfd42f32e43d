"""The line of keys at the bottom."""

from __future__ import annotations

from textual.screen import Screen
from textual.widgets import Footer

Shown = tuple[tuple[str, str, bool], ...]
"""Of each key: its name, what it does, whether it can be pressed now."""


class KeyLine(Footer):
    """`Footer` that is made anew only when what it shows has changed, and lets go of the keys of before.

    Textual's makes all keys anew whenever anybody asks whether one is greyed out, which events do a hundred times a
    second; and each key watches it, so that the old ones would be kept for as long as the dashboard is open.
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
        self.mutate_reactive(Footer.compact)  # Whoever watches and is closed is forgotten at a change.
