"""Reader of datasets for auto-labelling: images without labels, and a label map with the classes they may get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.folders import read_bare
from taod.datasets.formats.types import Found, Problem, shown, text_of

TEXT, YAML = "label_map.txt", "label_map.yaml"
MOST_YAML = 1024**2
"""Characters of a label map in YAML; its parser is slow."""
_FORM = "class names by number, or a list of them"


def read(top: Path) -> Iterator[Found]:
    """Problems of the label map, in either of its forms, then the images of images/."""
    for file, problems in ((TEXT, _of_text), (YAML, _of_yaml)):
        if not (top / file).is_file():
            continue
        text = text_of(top, file)
        if isinstance(text, Problem):
            yield text
        else:
            yield from problems(text)
    yield from read_bare(top)


def _of_text(text: str) -> Iterator[Problem]:
    """Problems of a text label map: the line number is the class number, so an empty line is a class without a name."""
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines:
        yield Problem(TEXT, 0, "the list has no classes", "one class a line")
    known: dict[str, int] = {}
    for number, name in enumerate(lines, 1):
        if not name:
            yield Problem(TEXT, number, "the line is empty", "a class on each line: the line's number is the class's")
        elif name in known:
            yield Problem(TEXT, number, f"class {shown(name)} is already used on line {known[name]}", "each class once")
        else:
            known[name] = number


def _of_yaml(text: str) -> Iterator[Problem]:
    import yaml

    if len(text) > MOST_YAML:
        yield Problem(YAML, 0, f"the file has {len(text)} characters", f"{MOST_YAML} at most")
        return
    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        yield Problem(YAML, line, f"this is not YAML: {error.problem}", _FORM)
        return
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        yield Problem(YAML, 0, f"this is not YAML: {type(error).__name__}", _FORM)
        return
    if not isinstance(found, dict | list):
        yield Problem(YAML, 0, f"the document is a {type(found).__name__}", _FORM)
        return
    if not found:
        yield Problem(YAML, 0, "the map has no classes", _FORM)
    # A map of names to numbers is accepted too.
    seen: set[str | int] = set()
    for at, name in enumerate(found.values() if isinstance(found, dict) else found, 1):
        if isinstance(name, bool) or not isinstance(name, str | int):
            yield Problem(YAML, 0, f"entry {at} is a {type(name).__name__}", _FORM)
        elif name in seen:
            yield Problem(YAML, 0, f"entry {at}, {shown(name)}, is already used", "each class once")
        else:
            seen.add(name)
