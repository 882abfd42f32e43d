"""What end-to-end tests of the dashboard share: waits for the screen, typing, and the text of widgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.widgets import Static

from tests.patience import PATIENCE_S
from tui.app import Dashboard

KEYS = {" ": "space", "/": "slash", ".": "full_stop", "-": "minus", "_": "underscore"}


async def shown(pilot: Any, condition: Callable[[], Any]) -> None:
    """Let the dashboard work until the condition holds. Raises AssertionError with the screen after PATIENCE_S."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await pilot.pause(0.05)
    except TimeoutError:
        screen = pilot.app.screen
        notes = [f"{each.title}: {each.message}" for each in pilot.app._notifications]
        raise AssertionError("\n".join([f"not shown on {screen}:", *_drawn(pilot.app), *notes])) from None


def _drawn(app: Dashboard) -> list[str]:
    """The lines of the screen as they are drawn."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


async def enter(pilot: Any, text: str) -> None:
    """Type a text, one key per character."""
    for character in text:
        await pilot.press(KEYS.get(character, character))


def text_of(app: Dashboard, selector: str) -> str:
    """The text of all matching Static widgets of the current screen, with single blanks."""
    widgets = app.screen.query(selector).results(Static)
    return " ".join(" ".join(strip.text for w in widgets for strip in w.render_lines(w.size.region)).split())
