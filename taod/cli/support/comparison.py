"""Jobs side by side as a table, Markdown, CSV, or one HTML file with plots."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import rich_click as click

from taod import installed
from taod.cli.support.output import Output, as_text
from taod.client.comparison import Comparison, Row
from taod.terminal import in_line

if TYPE_CHECKING:
    from taod.client.comparison import Curve

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
:root { color-scheme: light dark; } table { border-collapse: collapse; } figure { display: inline-block; margin: 0; }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
.differs td { font-weight: 600; } svg { max-width: 36rem; background: white; }
"""


def text(value: object) -> str:
    """A value as people read it: numbers with 6 significant digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else as_text(value)


def show(found: Comparison, out: Output) -> None:
    """Print it as tables, one for each section."""
    for section in found.sections:
        out.print_sentence(f"\n{section.title}")
        columns = {"": lambda row: row.name} | {
            name: (lambda row, number=number: text(row.values[number])) for number, name in enumerate(found.jobs)
        }
        out.table(section.rows, columns)


def as_markdown(found: Comparison) -> str:
    """A Markdown table for each section."""
    lines: list[str] = []
    for section in found.sections:
        lines += [f"## {section.title}", "", markdown_row(["", *found.jobs])]
        lines += [markdown_row(["---"] * (len(found.jobs) + 1), escape=False)]
        lines += [markdown_row([row.name, *map(text, row.values)]) for row in section.rows] + [""]
    return "\n".join(lines)


def markdown_row(cells: Iterable[str], *, escape: bool = True) -> str:
    """A row of a Markdown table; control characters and pipes in its cells are escaped."""
    shown = [in_line(cell).replace("\\", "\\\\").replace("|", "\\|") if escape else cell for cell in cells]
    return f"| {' | '.join(shown)} |"


def as_csv(found: Comparison) -> str:
    """One table: section, name, and a column for each job; numbers in full."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["section", "name", *found.jobs])
    for section in found.sections:
        for row in section.rows:
            table.writerow([section.title, row.name, *map(_full, row.values)])
    return lines.getvalue()


def _full(value: object) -> str:
    return repr(value) if isinstance(value, float) else text(value)


def as_html(found: Comparison) -> str:
    """One page without scripts and links, with a plot of each metric. Raises ClickException without matplotlib."""
    title = _shown(f"Comparison of {', '.join(found.jobs)}")
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{title}</h1>")
    head = "".join(f"<th>{_shown(name)}" for name in found.jobs)
    for section in found.sections:
        parts.append(f"<h2>{_shown(section.title)}</h2><table><tr><th>{head}</tr>")
        parts += [_html_row(row) for row in section.rows]
        parts.append("</table>")
    by_metric = groupby(found.curves, lambda curve: curve.metric)
    plots = [f"<figure>{_plot(metric, list(curves))}</figure>" for metric, curves in by_metric]
    return "\n".join([*parts, "<h2>curves</h2>" if plots else "", *plots, ""])


def _shown(words: str) -> str:
    return html.escape(in_line(words))


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{_shown(text(value))}" for value in row.values)
    return f"<tr{' class=differs' if row.differs else ''}><td>{_shown(row.name)}{cells}</tr>"


def _plot(metric: str, curves: list[Curve]) -> str:
    """The curves as SVG."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise click.ClickException(
            f"plots need matplotlib: {installed.add('data')}; or choose --markdown or --csv"
        ) from None
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.epochs, curve.values, marker="." if len(curve.epochs) > 1 else "o", label=_plain(curve.job))
    axes.set(xlabel="epoch", ylabel=_plain(metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _plain(name: str) -> str:
    """A name that matplotlib takes as text: `$` begins a formula, and labels with a leading `_` are left out."""
    return in_line(name).replace("$", r"\$").lstrip("_") or "–"
