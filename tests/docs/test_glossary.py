"""The words that docs/glossary.md rejects appear in no source, text or document."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

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


def test_no_text_has_a_rejected_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files()
        for number, word in rejected(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_words_inside_names_are_found() -> None:
    assert [word for _, word in rejected("def is_told(data_set): ...")] == ["told", "data set"]
    assert rejected("a foretold dataset") == []
