"""The line of keys at the bottom."""

from __future__ import annotations

from textual.widgets import Footer


class KeyLine(Footer):
    """`Footer` that lets go of the keys that it no longer shows.

    It makes all of them anew whenever one is greyed out, and each new one watches it; without this, the old ones
    would be kept for as long as the dashboard is open.
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    async def recompose(self) -> None:
        await super().recompose()
        self.mutate_reactive(Footer.compact)  # Whoever watches and is closed is forgotten at a change.
