"""The words that docs/glossary.md rejects appear in no source, text or document."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REJECTED = (
    r"data[ -]sets?",
    r"pictures?",
    r"told",
    r"(?<!\.)tells?",  # `file.tell()` is a method
    r"goes on|go on|went on",
    r"begun",
    r"anew",
    r"look(?:s|ed)? (?:into|at)",
    r"hangs? on",
    r"whose turn",
    r"nobody|somebody",
    r"truth value",
    r"but for",
    r"strangers?",
    r"(?<!connection )refus(?:e|es|ed|ing|al|als)",
    r"veil(?:s|ed)?",
    r"lasting",
    r"br(?:eak|eaks|oke|oken) off",
    r"h(?:eld|old|olds) back",
    r"a moment later",
    r"elsewhere",
    r"nothing but",
    r"whoever",
    r"mend(?:s|ed|ing)?",
    r"hinder(?:s|ed)?",
    r"everybody|anybody",
    r"spoil(?:t|s|ed)?",
    r"gone on",
    r"as told",
)
"""Words and phrases that are never right in this project's texts, with any capitalisation, also inside names."""
MIGRATIONS = "store/migrations/"
"""Applied steps are never changed: they keep the names that columns, indices and values had."""
EXEMPT = {"docs/glossary.md", "tests/docs/test_glossary.py", "tests/store/test_store_summaries.py", "LICENSE"}
SUFFIXES = {".py", ".md", ".toml", ".sh", ".tcss", ".yml"}
PENDING = {
    "docs",
    "tests/automl",
    "tests/config",
    "tests/scheduler",
    "tests/services",
    "tests/telemetry",
}
"""Folders (see `folder_of`) that still have rejected words; each is removed when its words are gone."""

PATTERN = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(REJECTED)})(?![A-Za-z])", re.IGNORECASE)


def files() -> list[Path]:
    """The tracked files that people read."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    paths = [ROOT / name for name in listed if name not in EXEMPT and not name.startswith(MIGRATIONS)]
    texts = [ROOT / "taod/catalogue/data/descriptions.json"]
    return [path for path in paths if (path.suffix in SUFFIXES or path in texts) and path.exists()]


def rejected(text: str) -> list[tuple[int, str]]:
    """Line numbers and words. Underscores separate words as blanks do."""
    return [
        (number, match[0])
        for number, line in enumerate(text.replace("_", " ").splitlines(), 1)
        for match in PATTERN.finditer(line)
    ]


def folder_of(path: Path) -> str:
    """The part of the project that a file belongs to: `taod/api`, `store`, or `taod` for the files right inside."""
    parts = path.relative_to(ROOT).parts
    nested = len(parts) > 2 and parts[0] in {"taod", "tui", "runners", "tests"}
    return "." if len(parts) == 1 else "/".join(parts[: 2 if nested else 1])


def test_no_text_has_a_rejected_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files()
        if folder_of(path) not in PENDING
        for number, word in rejected(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("folder", sorted(PENDING))
def test_a_pending_folder_still_has_some(folder: str) -> None:
    inside = [path for path in files() if folder_of(path) == folder]
    assert any(rejected(path.read_text(encoding="utf-8")) for path in inside), f"remove {folder!r} from PENDING"


def test_words_inside_names_are_found() -> None:
    assert [word for _, word in rejected("def is_told(data_set): ...")] == ["told", "data set"]
    assert rejected("a foretold dataset") == []
