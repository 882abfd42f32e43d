"""Colours of both themes, and the symbol and colour of each job state."""

from __future__ import annotations

from textual.theme import Theme

from taod.types.state import State

BACKGROUND = "#0d100f"
SURFACE = "#121614"
PANEL = "#1a201d"
LINE = "#2c3630"
TEXT = "#d5dcd7"
SOFT = "#9aa69f"
DIM = "#69756e"
GREEN = "#76b900"
TEAL = "#4fb8a3"
BLUE = "#62a8e5"
YELLOW = "#e2b33c"
ORANGE = "#e58a4e"
RED = "#ef6461"

LIGHT_COLOURS = {
    TEXT: "#1d2520",
    SOFT: "#4d5a52",
    DIM: "#77837b",
    LINE: "#c3ccc6",
    GREEN: "#3f7a00",
    TEAL: "#0f7566",
    BLUE: "#1f66ad",
    YELLOW: "#8a6400",
    ORANGE: "#a84a10",
    RED: "#b3261e",
    SURFACE: "#f7f9f7",
}
"""Colour in the light theme for each colour above."""


def _theme(name: str, *, dark: bool, backgrounds: tuple[str, str, str], selected: tuple[str, str]) -> Theme:
    """A theme; `backgrounds`: background, surface and panel."""

    def ink(colour: str) -> str:
        return colour if dark else LIGHT_COLOURS[colour]

    background, surface, panel = backgrounds
    green, line, text, soft, dim = (ink(colour) for colour in (GREEN, LINE, TEXT, SOFT, DIM))
    return Theme(
        name=name,
        dark=dark,
        primary=green,
        secondary=ink(TEAL),
        accent=green,
        success=green,
        warning=ink(YELLOW),
        error=ink(RED),
        foreground=text,
        background=background,
        surface=surface,
        panel=panel,
        variables={
            "line": line,
            "soft": soft,
            "dim": dim,
            "selected": selected[0],
            "selected-blurred": selected[1],
            "border": green,
            "border-blurred": line,
            "footer-background": panel,
            "footer-key-foreground": green,
            "footer-description-foreground": soft,
            "block-cursor-background": selected[0],
            "block-cursor-foreground": text,
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": selected[1],
            "block-cursor-blurred-foreground": text,
            "block-cursor-blurred-text-style": "none",
            "block-hover-background": panel,
            "scrollbar": line,
            "scrollbar-hover": dim,
            "scrollbar-active": green,
            "scrollbar-background": surface,
            "scrollbar-background-hover": surface,
            "scrollbar-background-active": surface,
            "scrollbar-corner-color": surface,
            "input-selection-background": f"{green} 35%",
        },
    )


DARK = _theme("taod", dark=True, backgrounds=(BACKGROUND, SURFACE, PANEL), selected=("#22301a", "#1c2419"))
LIGHT = _theme("taod-light", dark=False, backgrounds=("#eef2ee", "#f7f9f7", "#e2e8e3"), selected=("#d3e6bb", "#e3edd6"))

GLYPHS: dict[State, tuple[str, str]] = {
    State.WAITING: ("◌", SOFT),
    State.QUEUED: ("○", BLUE),
    State.HELD: ("◇", SOFT),
    State.LEASED: ("◔", TEAL),
    State.STARTING: ("◑", TEAL),
    State.RUNNING: ("●", GREEN),
    State.STOPPING: ("◐", ORANGE),
    State.PAUSED: ("‖", YELLOW),
    State.DONE: ("✓", GREEN),
    State.FAILED: ("✗", RED),
    State.CANCELLED: ("⊘", ORANGE),
}
"""A glyph one cell wide, and its colour."""
