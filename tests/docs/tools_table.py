"""The tables of what ran with NVIDIA's tools, in README.md and docs/tools.md, written from the evidence rows.

`python -m tests.docs.tools_table` writes them. The rows are decisions.tsv (release 5.0) and evidence-7.3.tsv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from taod.catalogue.releases import BASE, KNOWN
from taod.catalogue.schema.tables import index
from tests.catalogue.test_catalogue_evidence import KINDS, evidence, later_evidence

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TOOLS = ROOT / "docs" / "tools.md"
_PLACE = re.compile(r"(<!-- tools: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
_ORDER = (
    "dataset_convert",
    "train",
    "evaluate",
    "inference",
    "export",
    "prune",
    "retrain",
    "distill",
    "quantize",
    "gen_trt_engine",
)


def by_kind() -> str:
    """A row for each network and release: its actions by kind of evidence."""
    rows = ["| network | release | ran | accepted | read |", "|---|---|---|---|---|"]
    for name, release, actions in _networks():
        cells = [", ".join(action for action, kind in actions.items() if kind == wanted) for wanted in KINDS]
        rows.append(f"| {name} | {release} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def by_action() -> str:
    """A row for each PyTorch network of the last release, a column for each action."""
    pytorch = {name for name, entry in index(KNOWN[-1]).items() if entry.image == "tlt-pytorch"}
    found = [(name, actions) for name, release, actions in _networks() if release == KNOWN[-1] and name in pytorch]
    columns = [action for action in _ORDER if any(action in actions for _, actions in found)]
    rows = ["| network | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for name, actions in found:
        rows.append(f"| {name} | " + " | ".join(actions.get(action, "") for action in columns) + " |")
    return "\n".join(rows) + "\n"


def _networks() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every network of every release with the kind of evidence of each action."""
    rows = {BASE: evidence(), KNOWN[-1]: later_evidence()}
    for name in sorted(index(KNOWN[-1])):
        for release in KNOWN:
            entry = index(release).get(name)
            if entry is not None and entry.release == release and entry.actions:
                yield name, release, {action: rows[release][name, action][0] for action in entry.actions}


def written() -> dict[Path, str]:
    """The documents with today's tables."""
    tables = {README: by_kind(), TOOLS: by_action()}
    return {path: _with(path.read_text(encoding="utf-8"), table) for path, table in tables.items()}


def _with(text: str, table: str) -> str:
    return _PLACE.sub(lambda match: match[1] + table + match[2], text)


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
