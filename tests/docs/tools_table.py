"""The README's table of what ran with NVIDIA's tools, written from the evidence rows of decisions.tsv.

`python -m tests.docs.tools_table` writes it.
"""

from __future__ import annotations

import re
from pathlib import Path

from taod.catalogue.schema.tables import index
from tests.catalogue.test_catalogue_evidence import evidence

README = Path(__file__).parents[2] / "README.md"
_PLACE = re.compile(r"(<!-- tools: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """One row per network: its actions by kind of evidence."""
    rows = ["| network | ran | accepted | read |", "|---|---|---|---|"]
    found = evidence()
    for name, entry in sorted(index().items()):
        kinds = {kind: [a for a in entry.actions if found.get((name, a), ("", ""))[0] == kind] for kind in _KINDS}
        if any(kinds.values()):
            rows.append(f"| {name} | " + " | ".join(", ".join(kinds[kind]) for kind in _KINDS) + " |")
    return "\n".join(rows) + "\n"


_KINDS = ("ran", "parsed", "read")


def written() -> str:
    """The README with today's table."""
    return _PLACE.sub(lambda match: match[1] + table() + match[2], README.read_text(encoding="utf-8"))


if __name__ == "__main__":
    README.write_text(written(), encoding="utf-8")
