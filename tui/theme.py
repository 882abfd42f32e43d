"""Colours, and how each state of a job looks."""

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

THEME = Theme(
    name="taod",
    dark=True,
    primary=GREEN,
    secondary=TEAL,
    accent=GREEN,
    success=GREEN,
    warning=YELLOW,
    error=RED,
    foreground=TEXT,
    background=BACKGROUND,
    surface=SURFACE,
    panel=PANEL,
    variables={
        "line": LINE,
        "soft": SOFT,
        "dim": DIM,
        "selected": "#22301a",
        "selected-blurred": "#1c2419",
        "border": GREEN,
        "border-blurred": LINE,
        "footer-background": PANEL,
        "footer-key-foreground": GREEN,
        "footer-description-foreground": SOFT,
        "block-cursor-background": "#22301a",
        "block-cursor-foreground": TEXT,
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1c2419",
        "block-cursor-blurred-foreground": TEXT,
        "block-cursor-blurred-text-style": "none",
        "block-hover-background": PANEL,
        "scrollbar": "#2c3630",
        "scrollbar-hover": "#3b4840",
        "scrollbar-active": GREEN,
        "scrollbar-background": SURFACE,
        "scrollbar-background-hover": SURFACE,
        "scrollbar-background-active": SURFACE,
        "scrollbar-corner-color": SURFACE,
        "input-selection-background": "#76b900 35%",
    },
)

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
