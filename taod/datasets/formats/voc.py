"""Reader of Pascal VOC annotations, one XML file an image. Documents with a DTD are rejected: entities never expand.

Source: Everingham et al., The Pascal Visual Object Classes Challenge (IJCV 2010), its development kit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from taod import plain_file
from taod.datasets.formats.types import (
    MOST_TEXT,
    Box,
    Found,
    Item,
    Label,
    Problem,
    by_stem,
    files,
    number,
    shown,
    stem,
    unpaired,
    unreadable,
)

_XML = frozenset({".xml"})
_EDGES = ("xmin", "ymin", "xmax", "ymax")
DEPTH = 32
"""Most levels of nested elements; an annotation has four."""


class _Rejected(Exception):
    pass


class _Annotation:
    """Collects the content of one document from expat's callbacks."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.labels: list[Label] = []
        self.problems: list[Problem] = []
        self.filename = ""
        self.sizes: dict[str, str] = {}
        self.root = ""
        self._path: list[str] = []
        self._text: list[str] = []
        self._object: dict[str, str] = {}
        self._line = 0
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._reject
        self.parser.EntityDeclHandler = self._reject
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append
        self.parser.buffer_text = True

    def _reject(self, *_: object) -> None:
        raise _Rejected("the document declares a DTD or entities")

    def _start(self, name: str, _: object) -> None:
        if not self._path:
            self.root = name
        self._path.append(name)
        if len(self._path) > DEPTH:
            raise _Rejected(f"elements are nested over {DEPTH} deep")
        self._text.clear()
        if len(self._path) == 2 and name == "object":
            self._object, self._line = {}, self.parser.CurrentLineNumber

    def _end(self, name: str) -> None:
        value = "".join(self._text).strip()
        self._text.clear()
        path = "/".join(self._path[1:])
        self._path.pop()
        if path == "filename":
            self.filename = value
        elif path in ("size/width", "size/height"):
            self.sizes[name] = value
        elif path == "object/name":
            self._object["name"] = value
        elif path.startswith("object/bndbox/"):
            self._object[name] = value
        elif path == "object":
            self._finish()

    def _finish(self) -> None:
        found = self._object
        name = found.get("name", "")
        if not name:
            self.problems.append(Problem(self.file, self._line, "the object has no name", "<name>its class</name>"))
            return
        edges = []
        for edge in _EDGES:
            value = number(found.get(edge, ""))
            if value is None:
                what = f"{edge} is {shown(found[edge])}" if edge in found else f"{edge} is missing"
                self.problems.append(Problem(self.file, self._line, what, "a finite number in <bndbox>"))
                return
            edges.append(value)
        self.labels.append(Label(name, Box(*edges), self._line))


def parse(data: bytes, file: str) -> tuple[Item, list[Problem]]:
    """The item and problems of one document; the item's `image` is the file name in it."""
    said = _Annotation(file)
    try:
        said.parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        said.problems.append(Problem(file, error.lineno, f"this is not XML: {reason}", "a Pascal VOC annotation"))
    except _Rejected as error:
        line = said.parser.CurrentLineNumber
        said.problems.append(Problem(file, line, str(error), "plain XML, without <!DOCTYPE"))
    except (ValueError, LookupError) as error:  # an unknown encoding
        said.problems.append(Problem(file, 1, f"this is not XML: {error}", "a Pascal VOC annotation in UTF-8"))
    else:
        if said.root != "annotation":
            said.problems.append(Problem(file, 1, f"the document is a {shown(said.root)}", "<annotation>"))
    size = [int(text) for key in ("width", "height") if (text := said.sizes.get(key, "")).isascii() and text.isdigit()]
    whole = (size[0], size[1]) if len(size) == 2 and all(0 < side < 10**6 for side in size) else None
    return Item(said.filename, file, said.labels, whole), said.problems


def read(top: Path, images: str = "images", labels: str = "labels") -> Iterator[Found]:
    """The items of a dataset: each annotation with its image of the same name."""
    left, twice = by_stem(top, images)
    yield from twice
    for file in files(top, labels, _XML):
        key = stem(file, labels)
        try:
            with plain_file.binary(top / file) as opened:
                data = opened.read(MOST_TEXT)
        except OSError as error:
            yield unreadable(file, error)
            continue
        item, problems = parse(data, file)
        yield from problems
        item.image = left.pop(key, "")
        if not item.image:
            yield Problem(file, 0, "image not found", f"{images}/{key}.jpg, .png or another image")
        yield item
    yield from unpaired(left, labels, ".xml")
