"""Readers of text in images: lprnet's file an image, and ocrnet's one list a split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import Found, Item, Label, Problem, by_stem, files, shown, stem, text_of, unpaired

_TEXT = frozenset({".txt"})


def alphabet(top: Path, file: str) -> tuple[set[str], list[Problem]]:
    """The characters of a list, one a line."""
    text = text_of(top, file)
    if isinstance(text, Problem):
        return set(), [text]
    known: set[str] = set()
    problems = []
    for line, content in enumerate(text.splitlines(), 1):
        one = content if content == " " else content.strip()
        if len(one) > 1:
            problems.append(Problem(file, line, f"the line is {shown(one)}", "one character a line"))
        elif one in known:
            problems.append(Problem(file, line, f"{shown(one)} is already used", "each character once"))
        elif one:
            known.add(one)
    if not known:
        problems.append(Problem(file, 0, "the list has no characters", "one character a line"))
    return known, problems


def read_plates(top: Path) -> Iterator[Found]:
    """The items of lprnet: image/<name>.* with label/<name>.txt, one line of characters.txt's characters."""
    known, problems = alphabet(top, "characters.txt")
    yield from problems
    left, twice = by_stem(top, "image")
    yield from twice
    for file in files(top, "label", _TEXT):
        key = stem(file, "label")
        image = left.pop(key, "")
        if not image:
            yield Problem(file, 0, "image not found", f"image/{key}.png or .jpg")
        text = text_of(top, file)
        if isinstance(text, Problem):
            yield text
            continue
        lines = [(line, content.strip()) for line, content in enumerate(text.splitlines(), 1) if content.strip()]
        if len(lines) != 1:
            yield Problem(file, 0, f"the file has {len(lines)} lines of text", "one line, the text of the plate")
            continue
        line, content = lines[0]
        yield from _unknown(content, known, file, line, "characters.txt")
        yield Item(image, file, [Label(content, line=line)])
    yield from unpaired(left, "label", ".txt")


def read_words(top: Path) -> Iterator[Found]:
    """The items of ocrnet: each line of <split>/gt_new.txt names an image and, after a tab, its text."""
    known, problems = alphabet(top, "character_list")
    yield from problems
    for split in ("train", "test"):
        file = f"{split}/gt_new.txt"
        if not (top / file).is_file():
            continue
        text = text_of(top, file)
        if isinstance(text, Problem):
            yield text
            continue
        for line, content in enumerate(text.split("\n"), 1):
            content = content.rstrip("\r")
            if content.strip():
                yield from _check_label(top, split, file, line, content, known)


def _check_label(top: Path, split: str, file: str, line: int, content: str, known: set[str]) -> Iterator[Found]:
    name, parted, word = content.partition("\t")
    if not parted:
        name, parted, word = content.partition(" ")
    name, word = name.strip().rstrip(","), word.strip()
    if not word:
        yield Problem(file, line, f"the line is {shown(content)}", "an image's name, a tab, its text")
        return
    path = f"{split}/{name}"
    if ".." in name.split("/") or not _is_file(top / path):
        yield Problem(file, line, f"image {shown(name)} not found", f"an image of this name in {split}/")
        path = ""
    yield from _unknown(word, known, file, line, "character_list")
    yield Item(path, file, [Label(word, line=line)])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _unknown(word: str, known: set[str], file: str, line: int, listing: str) -> Iterator[Problem]:
    odd = sorted(set(word) - known) if known else []
    # A list of lower case letters is read as meaning both cases by the tool itself.
    odd = [one for one in odd if one.lower() not in known]
    if odd:
        yield Problem(file, line, f"{listing} lacks {shown(''.join(odd))} of {shown(word)}", f"characters of {listing}")
