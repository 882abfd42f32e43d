"""Reader of change segmentation: two images of one name, before in A/ and after in B/, and where they differ in label/.

`list/<split>.txt` names the images of a split. A label has the image's name, with `.png` for `.jpg`; the split
`predict` needs none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taod.datasets.formats.types import Found, Item, Problem, files, shown, text_of

UNLABELLED = "predict"


def read(top: Path) -> Iterator[Found]:
    """The images of every list; an image in no list is a problem."""
    seen: set[str] = set()
    for file in files(top, "list", frozenset({".txt"})):
        text = text_of(top, file)
        if isinstance(text, Problem):
            yield text
            continue
        split = Path(file).stem
        for line, row in enumerate(text.splitlines(), 1):
            if row.strip():
                yield from _pair(top, file, line, row.split()[0], seen, labelled=split != UNLABELLED)
    for path in files(top, "A"):
        if path.removeprefix("A/") not in seen:
            yield Problem(path, 0, "no list names the image", "a line with its name in list/<split>.txt")


def _pair(top: Path, file: str, line: int, name: str, seen: set[str], *, labelled: bool) -> Iterator[Found]:
    folders = {"A": name, "B": name}
    if labelled:
        folders["label"] = name.replace(".jpg", ".png")
    there = []
    for folder, wanted in folders.items():
        path = f"{folder}/{wanted}"
        if (top / path).is_file():
            there.append(path)
        else:
            yield Problem(file, line, f"image {shown(path)} not found", f"an image of this name in {folder}/")
    if name not in seen and f"A/{name}" in there:
        yield Item(f"A/{name}", file, further=there[1:])
    seen.add(name)
