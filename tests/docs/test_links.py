"""Every relative link in the repository's documents leads to a file, and every anchor to a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])


def links(path: Path) -> list[str]:
    """Targets of the links and images of a document."""
    targets: list[str] = []

    def visit(tokens: list[Token]) -> None:
        for token in tokens:
            target = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
            if target is not None:
                targets.append(str(target))
            visit(token.children or [])

    visit(MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")))
    return targets


def anchors(path: Path) -> set[str]:
    """The anchors that a renderer gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for target in links(document):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def test_links_are_found_at_all() -> None:
    assert "docs/architecture.md" in links(ROOT / "README.md")
    assert "yaml" in anchors(ROOT / "docs" / "catalogue.md")
