"""Output of all commands: a table for people, the API's JSON, or only ids for scripts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import rich_click as click

from taod.terminal import in_line, in_lines, unguarded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])
Columns = Mapping[str, Callable[[T], "str | Text"]]
"""Heading of each column → cell of an item, as plain text or a Text."""

SHOWN = 30
"""Rows of a table unless `--size` says otherwise."""
PIPE_WIDTH = 10_000
"""Width of output that is not a terminal, so that no line is wrapped or cut."""


class Form(Enum):
    """The form of an answer."""

    TABLE = "table"
    JSON = "json"
    IDS = "ids"


class Output:
    """Prints answers in the form that the user asked for."""

    def __init__(self, form: Form = Form.TABLE) -> None:
        self.form = form

    @cached_property
    def console(self) -> Console:
        """Console of the answer, on standard output."""
        return console(stderr=False)

    @cached_property
    def aside(self) -> Console:
        """Console of progress: standard error if the answer may be piped."""
        return self.console if self.form is Form.TABLE else console(stderr=True)

    def size(self, asked: int | None) -> int | None:
        """Number of items to request: by default 30 for a table, all (None) for scripts."""
        return SHOWN if asked is None and self.form is Form.TABLE else asked

    def listing(self, items: Sequence[Any], columns: Columns[Any], *, total: int | None = None) -> None:
        """Print items with ids. `total` is the number of items that exist, from the first printed one on."""
        if self.form is Form.TABLE:
            self.table(items, columns)
            if total is not None and total > len(items):
                self.console.print(f"{total - len(items)} more; --size {total} shows all", style="dim")
        elif self.form is Form.JSON:
            print_json(items)
        else:
            self.ids(item.id for item in items)

    def table(self, items: Iterable[Any], columns: Columns[Any]) -> None:
        """Print a table in any form of output. Empty columns are omitted."""
        from rich.table import Table
        from rich.text import Text

        rows = [[show(item) for show in columns.values()] for item in items]
        if not rows:
            self.console.print("none", style="dim")
            return
        used = [number for number in range(len(columns)) if number == 0 or any(row[number] for row in rows)]
        headings = list(columns)
        table = Table(box=None, pad_edge=False)
        for number in used:
            table.add_column(headings[number], no_wrap=number == 0, overflow="fold")
        for row in rows:
            table.add_row(*(Text(in_line(cell)) if isinstance(cell := row[number], str) else cell for number in used))
        self.console.print(table)

    def pairs(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print names and values. Empty values are omitted."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, value in pairs:
            text = value if isinstance(value, Text) else as_text(value)
            if text:
                table.add_row(Text(name, "dim"), Text(in_lines(text)) if isinstance(text, str) else text)
        self.console.print(table)

    def answer(self, item: Any, show: Callable[[], None]) -> None:
        """Print one item with an id; `show` prints it as text."""
        if self.form is Form.TABLE:
            show()
        elif self.form is Form.JSON:
            print_json(item)
        else:
            self.ids([item.id])

    def changed(self, item: Any, sentence: str, *, id: str | None = None) -> None:
        """Print the result of a command: a sentence, the answer as JSON, or its id (`id` if the answer has none)."""
        if self.form is Form.TABLE:
            self.print_sentence(sentence)
        elif self.form is Form.JSON:
            print_json(item)
        else:
            self.ids([id or item.id])

    def ids(self, ids: Iterable[str]) -> None:
        for each in ids:
            click.echo(each)

    def print_sentence(self, sentence: str) -> None:
        """Print a sentence without markup."""
        self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console that drops control characters in texts, and does not cut lines if its stream is not a terminal."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def _render_buffer(self, buffer: Iterable[Segment]) -> str:
            # Here rich's own control segments are still separate from texts.
            return super()._render_buffer(
                Segment(text if control else in_lines(text), style, control) for text, style, control in buffer
            )

    stream = sys.stderr if stderr else sys.stdout
    free = not stream.isatty() and "COLUMNS" not in os.environ
    width = PIPE_WIDTH if free else None
    # Texts are data: brackets such as `[engine]` are printed, not read as markup.
    return SafeConsole(
        file=unguarded(stream), stderr=stderr, width=width, soft_wrap=soft_wrap, markup=False, emoji=False
    )


def target_file(output: Path | None, name: str, force: bool) -> Path:
    """The file that a download writes. Raises UsageError if it exists, or if its folder does not."""
    into = output or Path(name)
    if into.is_dir():
        into = into / name
    if into.exists() and not force:
        raise click.UsageError(f"{into} already exists: choose another path with --output, or replace it with --force")
    if not into.absolute().parent.is_dir():
        raise click.UsageError(f"folder {into.parent} not found: create it, or choose another path with --output")
    return into


def with_output(work: Command) -> Command:
    """Add `--json` and `--quiet` to a command, whose last positional argument becomes the Output."""

    @click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
    @json_option
    @wraps(work)
    def callback(*arguments: Any, as_json: bool, quiet: bool, **rest: Any) -> Any:
        if as_json and quiet:
            raise click.UsageError("--json and --quiet exclude each other")
        form = Form.JSON if as_json else Form.IDS if quiet else Form.TABLE
        return work(*arguments, Output(form), **rest)

    return callback  # type: ignore[return-value]


json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer as JSON.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def print_json(value: object) -> None:
    """Print any value that msgspec encodes, as JSON."""
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    click.echo("".join(each if each.isprintable() or each == "\n" else f"\\u{ord(each):04x}" for each in text))


def warn(sentence: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"taod: {sentence}", err=True)


def confirm(lines: Iterable[str], yes: bool) -> None:
    """Print what will happen and ask for consent, unless `yes`. Ends the command with exit 1 without consent."""
    if yes:
        return
    for line in lines:
        click.echo(line, err=True)
    click.confirm("Continue?", abort=True, err=True)


def as_text(value: object) -> str:
    """A value as text."""
    if value is None or value is msgspec.UNSET:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(as_text(each) for each in value)
    return str(value)


def short(id: str) -> str:
    """A prefix of an id that is usually unique."""
    return id[:8]


def moment(text: str | None) -> str:
    """A date of the API to the second."""
    return (text or "")[:19].replace("T", " ")


def size(count: int | None) -> str:
    """A number of bytes as text: `3.2 MB`."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def number(count: int, noun: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
