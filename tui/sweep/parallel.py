"""Parallel-coordinates plot of a sweep: an axis for each parameter and the metric, a line for each trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual.widget import Widget

from taod.types.sweep import SweepView
from tui.sweep import trial_view
from tui.theme import DIM, SOFT, TEXT

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character, by row and column of its dots."""
BLANK = 0x2800
AXIS = "│"
LEAST_WIDTH, LEAST_HEIGHT = 20, 6
Points = list[float | None]
"""Position of a trial on each axis, from 0 (bottom) to 1; None: no position."""


class Canvas:
    """Cells of 2 × 4 dots, each cell in the colour that was drawn last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._ink = [[""] * width for _ in range(height)]

    def dot(self, x: int, y: int, ink: str) -> None:
        """Draw a dot; x to the right, y down."""
        column, row = x // 2, y // 4
        if 0 <= column < self.width and 0 <= row < self.height:
            self._bits[row][column] |= DOTS[y % 4][x % 2]
            self._ink[row][column] = ink

    def line(self, start: tuple[int, int], end: tuple[int, int], ink: str) -> None:
        """Draw a straight line of dots."""
        (x0, y0), (x1, y1) = start, end
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            share = step / steps
            self.dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share), ink)

    def rows(self, axes: Sequence[int]) -> Iterable[Text]:
        """The lines of text from the top; axes are drawn in empty cells."""
        for bits, inks in zip(self._bits, self._ink, strict=True):
            text = Text(no_wrap=True, end="")
            for column, (bit, ink) in enumerate(zip(bits, inks, strict=True)):
                if bit:
                    text.append(chr(BLANK + bit), style=ink)
                else:
                    text.append(AXIS if column in axes else " ", style=DIM)
            yield text


def crossings(sweep: SweepView) -> dict[int, Points]:
    """Positions of each trial with a value on the axes of the parameters and, last, of the metric."""
    values = [trial.value for trial in sweep.trials if trial.value is not None]
    if not values:
        return {}
    low, high = min(values), max(values)
    return {
        trial.number: [
            *(trial_view.axis_position(each, trial.params.get(each.path)) for each in sweep.space),
            (trial.value - low) / (high - low) if high > low else 0.5,
        ]
        for trial in sweep.trials
        if trial.value is not None
    }


def drawn(sweep: SweepView, width: int, height: int, chosen: int | None = None) -> Text:
    """The plot in `width` × `height` cells; better trials are drawn over worse ones, the chosen one over all."""
    lines = crossings(sweep)
    if not lines:
        return Text("No trial has a value yet.", style=DIM)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return Text("Too small for the plot.", style=DIM)
    count = len(sweep.space) + 1
    axes = [round(number * (width - 1) / (count - 1)) for number in range(count)]
    canvas = Canvas(width, height - 3)
    ranks = trial_view.ranks(sweep)
    inks = {number: trial_view.colour(ranks[number]) for number in sorted(lines, key=lambda number: ranks[number])}
    if chosen in inks:
        del inks[chosen]
        inks[chosen] = TEXT
    for number, ink in inks.items():
        _draw(canvas, axes, lines[number], ink)
    spread = [trial.value for trial in sweep.trials if trial.value is not None]
    ends = [trial_view.ends(each) for each in sweep.space]
    ends.append((trial_view.formatted(min(spread)), trial_view.formatted(max(spread))))
    names = trial_view.short_names([each.path for each in sweep.space])
    titles = [*(names[each.path] for each in sweep.space), sweep.metric]
    return Text("\n", no_wrap=True).join(
        [
            labels([high for _, high in ends], axes, width, SOFT),
            *canvas.rows(axes),
            labels([low for low, _ in ends], axes, width, SOFT),
            labels(titles, axes, width, TEXT),
        ]
    )


def _draw(canvas: Canvas, axes: Sequence[int], points: Points, ink: str) -> None:
    bottom = canvas.height * 4 - 1
    before: tuple[int, int] | None = None
    for axis, point in zip(axes, points, strict=True):
        here = None if point is None else (axis * 2, round((1.0 - point) * bottom))
        if here is not None:
            canvas.line(before or here, here, ink)
        before = here


def labels(words: Sequence[str], axes: Sequence[int], width: int, ink: str) -> Text:
    """Labels below (or above) their axes without overlap; the first is left-aligned, the last right-aligned."""
    room = max(4, (width - 1) // max(1, len(axes) - 1) - 1)
    line = [" "] * width
    for number, (word, axis) in enumerate(zip(words, axes, strict=True)):
        inner = 0 < number < len(axes) - 1
        most = room if inner else max(4, room // 2 + 1)
        word = word if len(word) <= most else f"{word[: most - 1]}…"
        start = axis - len(word) // 2 if inner else 0 if number == 0 else width - len(word)
        line[start : start + len(word)] = word
    return Text("".join(line[:width]), style=ink, no_wrap=True)


class ParallelPlot(Widget):
    """Draws a sweep."""

    def __init__(self) -> None:
        super().__init__(id="parallel")
        self._sweep: SweepView | None = None
        self._chosen: int | None = None

    def draw(self, sweep: SweepView | None, chosen: int | None) -> None:
        """Show this sweep; `chosen` is the trial under the cursor."""
        self._sweep, self._chosen = sweep, chosen
        self.refresh()

    def render(self) -> Text:
        if self._sweep is None:
            return Text("")
        return drawn(self._sweep, self.size.width, self.size.height, self._chosen)
