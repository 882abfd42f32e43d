"""Expected texts for broken datasets: sections below headings `== type format: name` in a file beside this."""

from __future__ import annotations

from pathlib import Path


def sections(file: str) -> dict[tuple[str, str, str], str]:
    """What is said, by type, format and name, up to the next heading."""
    texts: dict[tuple[str, str, str], str] = {}
    for section in Path(__file__).with_name(file).read_text(encoding="utf-8").split("\n== ")[1:]:
        heading, _, words = section.partition("\n")
        kind, _, name = heading.partition(": ")
        type_, format_ = kind.split()
        assert (type_, format_, name) not in texts, f"{heading} is there twice"
        texts[type_, format_, name] = words.rstrip("\n")
    return texts
