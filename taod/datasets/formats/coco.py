"""Reader of COCO JSON: pictures, categories and annotations in one file.

Source: Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014), the data format's description.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from taod.datasets.formats import segments as segmentations
from taod.datasets.formats.found import Box, Found, Label, Problem, pictures, shown, unreadable

MOST_BYTES = 4 * 1024**3
"""A larger file is refused: it is read whole into memory."""


class Picture(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class Category(msgspec.Struct, gc=False):
    id: int
    name: str
    supercategory: str | None = None


class Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    id: int | None = None
    bbox: list[float] | None = None
    """Left, top, width, height in pixels."""
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    area: Any = None
    iscrowd: int = 0
    keypoints: list[float] | None = None


class Document(msgspec.Struct):
    """A COCO file; parts that taod does not use are passed over."""

    images: list[Picture] = []
    categories: list[Category] = []
    annotations: list[Annotation] = []
    places: dict[str, list[int]] = {}
    """Where each element was in the file's list, for lists from which wrong ones were left out."""


class _Loose(msgspec.Struct):
    images: list[msgspec.Raw] = []
    categories: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []


_KINDS: dict[str, Any] = {"images": Picture, "categories": Category, "annotations": Annotation}
_EXPECTED = {
    "images": "id and file_name, width and height as whole numbers",
    "categories": "id (a whole number) and name",
    "annotations": "image_id and category_id (whole numbers), bbox of 4 numbers",
}


def decode(data: bytes, file: str) -> tuple[Document, list[Problem]]:
    """The file's content. Elements of the wrong form are left out and told; what is no JSON gives an empty document."""
    try:
        return msgspec.json.decode(data, type=Document), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        loose = msgspec.json.decode(data, type=_Loose)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        line = line_of(data, file, str(error))
        return Document(), [Problem(file, line, f"this is no COCO JSON: {error}", "images, categories, annotations")]
    problems: list[Problem] = []
    lines = Lines(data, file)
    document = Document()
    for key, kind in _KINDS.items():
        kept, places = [], []
        for index, raw in enumerate(getattr(loose, key)):
            try:
                kept.append(msgspec.json.decode(raw, type=kind))
                places.append(index)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                problems.append(Problem(file, lines.of(key, index), f"{key}[{index}]: {error}", _EXPECTED[key]))
        setattr(document, key, kept)
        document.places[key] = places
    return document, problems


def line_of(data: bytes, file: str, reason: str) -> int:
    """The line that msgspec's words point to, by a byte or by an element of a list; 0 where they tell none."""
    if place := re.search(r"byte (\d+)", reason):
        return data.count(b"\n", 0, int(place[1])) + 1
    if "truncated" in reason:
        return data.count(b"\n") + 1
    element = re.search(r"\$\.(\w+)\[(\d+)\]", reason)
    return Lines(data, file).of(element[1], int(element[2])) if element else 0


class Lines:
    """Tells on which line an element of a list begins; looks through the text only when it is asked.

    The list is the value of a key, or with an empty key the document itself. To be asked for growing indices of a
    list: it goes on from where it was.
    """

    MOST = 10_000
    """Elements looked up; beyond them nobody reads on."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._text: str | None = None
        self._at: dict[str, tuple[int, int, int, int]] = {}
        """List → the next element's index, its place, its line, and the place up to which lines were counted."""
        self._decoder = json.JSONDecoder()
        self._asked = 0

    def of(self, key: str, index: int) -> int:
        """The line, from 1; 0 where it cannot be told."""
        self._asked += 1
        if self._asked > self.MOST:
            return 0
        if self._text is None:
            self._text = self._data.decode(errors="replace")
        text = self._text
        begun = self._at.get(key)
        if begun is None or index < begun[0]:
            found = re.search(rf'"{key}"\s*:\s*\[' if key else r"\s*\[", text)
            if found is None:
                return 0
            begun = (0, found.end(), 1, 0)
        at, place, line, counted = begun
        try:
            while True:
                place = _skip(text, place)
                if at == index:
                    break
                _, place = self._decoder.raw_decode(text, place)
                at += 1
        except (ValueError, RecursionError):
            return 0
        line += text.count("\n", counted, place)
        self._at[key] = (at, place, line, place)
        return line


_SPACE = re.compile(r"[\s,]*")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def load(top: Path, file: str = "annotations.json") -> tuple[Document, list[Problem], bytes]:
    """A file's content, what is wrong with its form, and its bytes."""
    try:
        if (top / file).stat().st_size > MOST_BYTES:
            return Document(), [Problem(file, 0, f"the file has over {MOST_BYTES} bytes", "a smaller, split file")], b""
        data = (top / file).read_bytes()
    except (OSError, ValueError) as error:
        return Document(), [unreadable(file, error)], b""
    return *decode(data, file), data


def read(
    top: Path,
    file: str = "annotations.json",
    images: str = "images",
    *,
    keypoints: bool = False,
    segments: bool = False,
) -> Iterator[Found]:
    """The items of a data set, one for each picture that the file names, in its order.

    Items are `Numbered`. With `segments` labels are `Annotated`; a segmentation that is none is told and left out.
    """
    document, problems, data = load(top, file)
    yield from problems
    if problems and not document.images:
        # Nothing is known of the pictures: that none of them is named is told by the problems before.
        yield from (segmentations.Numbered(path) for path in sorted(pictures(top, images)))
        return
    lines = Lines(data, file)
    names, wrong = _unique(document, "categories", file, lines)
    yield from wrong
    known, wrong = _unique(document, "images", file, lines)
    yield from wrong
    labels: dict[int, list[Label]] = defaultdict(list)
    places: dict[int, list[int]] = defaultdict(list)
    kept = document.places.get("annotations")
    for index, one in enumerate(document.annotations):
        what = _wrong(one, names, known, keypoints)
        place = index if kept is None else kept[index]
        if what is not None:
            yield Problem(file, lines.of("annotations", place), f"annotations[{place}]: {what[0]}", what[1])
            continue
        places[one.image_id].append(place)
        name, box = names[one.category_id].name, None
        if one.bbox:
            left, upper, width, height = one.bbox
            box = Box(left, upper, left + width, upper + height)
        if not segments:
            labels[one.image_id].append(Label(name, box))
            continue
        found = segmentations.parse(one.segmentation, _size(known[one.image_id]))
        if isinstance(found, tuple):
            yield Problem(file, lines.of("annotations", place), f"annotations[{place}]: {found[0]}", found[1])
            found = None
        area = float(one.area) if isinstance(one.area, int | float) else None
        labels[one.image_id].append(
            segmentations.Annotated(name, box, 0, one.id, area, bool(one.iscrowd), found, bool(one.keypoints))
        )
    there = set(pictures(top, images))
    yield from _items(document, known, labels, places, there, file, images, lines)


def read_segments(top: Path) -> Iterator[Found]:
    """The items of a data set with their segmentations; one that is none is a problem."""
    return read(top, segments=True)


def _items(
    document: Document,
    known: dict[int, Any],
    labels: dict[int, list[Label]],
    places: dict[int, list[int]],
    there: set[str],
    file: str,
    images: str,
    lines: Lines,
) -> Iterator[Found]:
    named: set[str] = set()
    for index, picture in enumerate(document.images):
        if known.get(picture.id) is not picture:
            continue
        path = find(picture.file_name, images, there)
        if path is None:
            place = _place(document, "images", index)
            what = f"images[{place}]: there is no picture {shown(picture.file_name)}"
            yield Problem(file, lines.of("images", place), what, f"a picture of this name in {images}/")
        else:
            named.add(path)
        found, at = labels.get(picture.id, []), places.get(picture.id, [])
        yield segmentations.Numbered(path or "", file, found, _size(picture), places=at, id=picture.id)
    for path in sorted(there - named):
        yield Problem(path, 0, f"{file} does not name the picture", "an entry for it in images")


def _size(picture: Picture) -> tuple[int, int] | None:
    return None if picture.width is None or picture.height is None else (picture.width, picture.height)


def categories(top: Path, file: str = "annotations.json") -> list[Category]:
    """Those that a file has, in its order; none of one that is no COCO JSON."""
    return load(top, file)[0].categories


def find(name: str, images: str, there: set[str]) -> str | None:
    """The path of a picture that a file names: below `images`, below the top, or by its bare name."""
    for path in (f"{images}/{name}", name.removeprefix("./"), f"{images}/{name.rpartition('/')[2]}"):
        if path in there:
            return path
    return None


def _unique(document: Document, key: str, file: str, lines: Lines) -> tuple[dict[int, Any], list[Problem]]:
    found: dict[int, Any] = {}
    problems = []
    for index, one in enumerate(getattr(document, key)):
        if one.id in found:
            place = _place(document, key, index)
            what = f"{key}[{place}]: id {one.id} was there before"
            problems.append(Problem(file, lines.of(key, place), what, "an id of its own"))
        else:
            found[one.id] = one
    return found, problems


def _place(document: Document, key: str, index: int) -> int:
    places = document.places.get(key)
    return index if places is None else places[index]


def _wrong(one: Annotation, names: dict[int, Any], known: dict[int, Any], keypoints: bool) -> tuple[str, str] | None:
    """What is wrong with an annotation, and what was expected."""
    if one.category_id not in names:
        return f"category_id {one.category_id} is not among the categories", "the id of a category"
    if one.image_id not in known:
        return f"image_id {one.image_id} is not among the images", "the id of an image"
    if one.bbox is not None and len(one.bbox) not in (0, 4):
        return f"bbox has {len(one.bbox)} numbers", "4: left, top, width, height"
    if keypoints and not one.keypoints:
        return "keypoints are missing", "x, y and visibility of each keypoint"
    if keypoints and one.keypoints and len(one.keypoints) % 3:
        return f"keypoints has {len(one.keypoints)} numbers", "x, y and visibility of each keypoint: threes"
    return None


def class_counts(data: bytes, file: str) -> dict[str, int]:
    """Objects by category name, in the order of the categories. Raises ValueError where it is no COCO JSON."""
    document, problems = decode(data, file)
    if problems and not document.categories and not document.annotations:
        raise ValueError(problems[0].what)
    names = {category.id: category.name for category in document.categories}
    counts = dict.fromkeys(names.values(), 0)
    for annotation in document.annotations:
        name = names.get(annotation.category_id)
        if name is not None:
            counts[name] += 1
    return counts
