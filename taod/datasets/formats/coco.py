"""Reader of COCO JSON: images, categories and annotations in one file.

A `file_name` is resolved as by every COCO loader of TAO, `os.path.join(image_dir, file_name)`: a path below the image
folder, subfolders included. No loader searches for a bare name or resolves from the dataset's top.

Source: Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014), the data format's description.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard, TypeVar

import msgspec

from taod import plain_file
from taod.datasets.formats import segments as segmentations
from taod.datasets.formats.types import Box, Found, Label, Problem, image_paths, not_utf8, shown, unreadable

MOST_BYTES = 4 * 1024**3
"""Size limit, since a file is read whole into memory."""


class Image(msgspec.Struct, gc=False):
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
    area: object = None
    iscrowd: int | None = None
    keypoints: list[float] | None = None


class Document(msgspec.Struct):
    """A COCO file; keys that taod does not use are ignored."""

    images: list[Image] = []
    categories: list[Category] = []
    annotations: list[Annotation] = []
    places: dict[str, list[int]] = {}
    """By list: each element's index in the file, if invalid elements were left out of the list."""


Element = TypeVar("Element", Image, Category)


class _UndecodedDocument(msgspec.Struct):
    images: list[msgspec.Raw] = []
    categories: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] = []


DETECTION = frozenset({"id", "bbox", "area", "iscrowd", "size"})
"""Fields that the tools of object detection and instance segmentation require; `size`: an image's width and height."""
SEGMENTATION = frozenset({"id", "segmentation", "size"})
"""Fields that semantic segmentation requires; it reads no boxes."""
READABLE: frozenset[str] = frozenset()
"""The engine's data services need only ids of images and categories; they fill in missing fields."""

_KINDS: dict[str, type[msgspec.Struct]] = {"images": Image, "categories": Category, "annotations": Annotation}
_EXPECTED = {
    "images": "id and file_name, width and height as whole numbers",
    "categories": "id (a whole number) and name",
    "annotations": "image_id and category_id (whole numbers), bbox of 4 numbers",
}


def decode(data: bytes, file: str) -> tuple[Document, list[Problem]]:
    """The file's content and problems. An invalid element is left out; a file that no tool can read gives an empty
    document."""
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        return Document(), [not_utf8(file, data, error)]
    try:
        return msgspec.json.decode(data, type=Document), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        loose = msgspec.json.decode(data, type=_UndecodedDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Document(), [malformed(data, file, error)]
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
                problems.append(Problem(file, lines.line_of(key, index), f"{key}[{index}]: {error}", _EXPECTED[key]))
        setattr(document, key, kept)
        document.places[key] = places
    return document, problems


_BARE_NUMBER = re.compile(rb"-?(?:NaN|Infinity)\b")


def malformed(data: bytes, file: str, error: Exception) -> Problem:
    """Why a file cannot be read as COCO JSON: text that is not UTF-8, NaN for a number, or what msgspec reports."""
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return not_utf8(file, data, wrong)
    if place := re.search(r"byte (\d+)", str(error)):
        at = int(place[1])
        for match in _BARE_NUMBER.finditer(data, max(at - len(b"-Infinity"), 0)):
            if match.start() <= at <= match.end():
                line = data.count(b"\n", 0, match.start()) + 1
                return Problem(file, line, f"{match[0].decode()} is not a number in JSON", "a finite number")
            break
    line = line_of(data, file, str(error))
    return Problem(file, line, f"this is not COCO JSON: {error}", "images, categories, annotations")


def line_of(data: bytes, file: str, reason: str) -> int:
    """The line that a msgspec error names by byte offset or list element; 0 if it names neither."""
    if place := re.search(r"byte (\d+)", reason):
        return data.count(b"\n", 0, int(place[1])) + 1
    if "truncated" in reason:
        return data.count(b"\n") + 1
    element = re.search(r"\$\.(\w+)\[(\d+)\]", reason)
    return Lines(data, file).line_of(element[1], int(element[2])) if element else 0


class Lines:
    """Finds the line on which a list element begins; scans the text only on demand.

    The list is the value of a key, or with an empty key the document itself. Request the indices of a list in ascending
    order: each scan continues from the last one.
    """

    MOST = 10_000
    """Most elements that are located; further ones get line 0."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._text: str | None = None
        self._at: dict[str, tuple[int, int, int, int]] = {}
        """List → the next element's index, its offset, its line, and the offset up to which lines were counted."""
        self._decoder = json.JSONDecoder()
        self._asked = 0

    def line_of(self, key: str, index: int) -> int:
        """The line, from 1; 0 where it cannot be found."""
        self._asked += 1
        if self._asked > self.MOST:
            return 0
        if self._text is None:
            self._text = self._data.decode(errors="replace")
        text = self._text
        scanned = self._at.get(key)
        if scanned is None or index < scanned[0]:
            found = re.search(rf'"{key}"\s*:\s*\[' if key else r"\s*\[", text)
            if found is None:
                return 0
            scanned = (0, found.end(), 1, 0)
        at, place, line, counted = scanned
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
    """A file's content, problems of its form, and its bytes."""
    try:
        if (top / file).stat().st_size > MOST_BYTES:
            return Document(), [Problem(file, 0, f"the file has over {MOST_BYTES} bytes", "a smaller, split file")], b""
        data = plain_file.read(top / file, MOST_BYTES)
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
    required: frozenset[str] = DETECTION,
) -> Iterator[Found]:
    """The items of a dataset, one for each image that the file names, in its order.

    Items are `Numbered`. With `segments` labels are `Annotated`; an invalid segmentation is a problem and left out.
    A missing field of `required`, and with `id` an id that is used twice, is a problem; the label is kept.
    """
    document, problems, data = load(top, file)
    yield from problems
    if problems and not document.images:
        # The file names no images; earlier problems report that.
        yield from (segmentations.Numbered(path) for path in sorted(image_paths(top, images)))
        return
    lines = Lines(data, file)
    names, wrong = _unique(document, "categories", document.categories, file, lines)
    yield from wrong
    known, wrong = _unique(document, "images", document.images, file, lines)
    yield from wrong
    yield from _category_names(document, file, lines)
    if "size" in required:
        yield from _image_sizes(document, file, lines)
    labels: dict[int, list[Label]] = defaultdict(list)
    used: dict[int, int] = {}
    places: dict[int, list[int]] = defaultdict(list)
    kept = document.places.get("annotations")
    for index, one in enumerate(document.annotations):
        what = _wrong(one, names, known, keypoints)
        place = index if kept is None else kept[index]
        if what is not None:
            yield Problem(file, lines.line_of("annotations", place), f"annotations[{place}]: {what[0]}", what[1])
            continue
        for what in _lacking(one, place, required, used):
            yield Problem(file, lines.line_of("annotations", place), f"annotations[{place}]: {what[0]}", what[1])
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
            yield Problem(file, lines.line_of("annotations", place), f"annotations[{place}]: {found[0]}", found[1])
            found = None
        area = float(one.area) if is_area(one.area) else None
        labels[one.image_id].append(
            segmentations.Annotated(name, box, 0, one.id, area, bool(one.iscrowd), found, bool(one.keypoints))
        )
    there = set(image_paths(top, images))
    yield from _items(document, known, labels, places, there, file, images, lines)


def read_instances(top: Path) -> Iterator[Found]:
    """The items of a dataset of instance segmentation: boxes, and segmentations if present."""
    return read(top, segments=True)


def read_segments(top: Path) -> Iterator[Found]:
    """The items of a dataset of semantic segmentation: each annotation needs a segmentation, but no box."""
    return read(top, segments=True, required=SEGMENTATION)


def _items(
    document: Document,
    known: dict[int, Image],
    labels: dict[int, list[Label]],
    places: dict[int, list[int]],
    there: set[str],
    file: str,
    images: str,
    lines: Lines,
) -> Iterator[Found]:
    named: dict[str, int] = {}
    by_name: dict[str, str] = {}
    for index, image in enumerate(document.images):
        if known.get(image.id) is not image:
            continue
        place = _index_in_file(document, "images", index)
        path = resolve(image.file_name, images)
        if path not in there:
            by_name = by_name or {each.rpartition("/")[2]: each for each in there}
            what, expected = _absent(image.file_name, path, images, there, by_name)
            yield Problem(file, lines.line_of("images", place), f"images[{place}]: {what}", expected)
            path = ""
        elif path in named:
            what = f"images[{place}]: file_name {shown(image.file_name)} is already used by images[{named[path]}]"
            yield Problem(file, lines.line_of("images", place), what, "one entry for each image file")
        else:
            named[path] = place
        found, at = labels.get(image.id, []), places.get(image.id, [])
        yield segmentations.Numbered(path, file, found, _size(image), places=at, id=image.id)
    for path in sorted(there - set(named)):
        yield Problem(path, 0, f"{file} does not name the image", "an entry for it in images")


def _size(image: Image) -> tuple[int, int] | None:
    return None if image.width is None or image.height is None else (image.width, image.height)


def categories(top: Path, file: str = "annotations.json") -> list[Category]:
    """The categories of a file in its order; empty if it is not COCO JSON."""
    return load(top, file)[0].categories


def resolve(name: str, images: str) -> str:
    """The path below the dataset's top at which the tools open a `file_name`; it begins with .. if it is outside."""
    return posixpath.normpath(posixpath.join(images, name))


def _absent(name: str, path: str, images: str, there: set[str], by_name: dict[str, str]) -> tuple[str, str]:
    """Why a `file_name` leads to no image, and what was expected: the right name if the image is at another path.

    `by_name`: existing images by file name.
    """
    if name.startswith("/"):
        what = f"file_name {shown(name)} is an absolute path"
    elif not posixpath.relpath(path, images).startswith("../"):
        what = f"image {shown(path)}, which file_name {shown(name)} names, not found"
    else:
        what = f"file_name {shown(name)} leads out of {images}/"
    plain = name.replace("\\", "/")
    for meant in (resolve(plain, "."), resolve(plain, images), by_name.get(plain.rpartition("/")[2])):
        if meant in there:
            return what, f"{shown(posixpath.relpath(meant, images))}: tools read file_name as a path below {images}/"
    return what, f"an image at this path below {images}/"


def is_area(value: object) -> TypeGuard[int | float]:
    """Whether a value is a valid `area`: a finite number that is not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _category_names(document: Document, file: str, lines: Lines) -> Iterator[Problem]:
    """A problem for each category with the name of another: tools map names to classes and merge the two."""
    seen: dict[str, int] = {}
    for index, one in enumerate(document.categories):
        before = seen.setdefault(one.name, one.id)
        if before != one.id:
            place = _index_in_file(document, "categories", index)
            what = f"categories[{place}]: name {shown(one.name)} is already used by category {before}"
            yield Problem(file, lines.line_of("categories", place), what, "a unique name for each category")


def _image_sizes(document: Document, file: str, lines: Lines) -> Iterator[Problem]:
    for index, one in enumerate(document.images):
        for side in ("width", "height"):
            value = getattr(one, side)
            if value is None or value < 1:
                place = _index_in_file(document, "images", index)
                what = f"images[{place}]: {side} is {'missing' if value is None else value}"
                yield Problem(file, lines.line_of("images", place), what, "the image's size in pixels, from 1")


def _lacking(one: Annotation, place: int, required: frozenset[str], used: dict[int, int]) -> Iterator[tuple[str, str]]:
    """Missing required fields and a duplicate id of an annotation: (fault, what was expected)."""
    if "id" in required:
        if one.id is None:
            yield "id is missing", "a unique whole number"
        elif used.setdefault(one.id, place) != place:
            yield f"id {one.id} is already used by annotations[{used[one.id]}]", "a unique id for each annotation"
    if "bbox" in required and not one.bbox:
        yield f"bbox is {'missing' if one.bbox is None else 'empty'}", "4 numbers: left, top, width, height"
    if "area" in required and not is_area(one.area):
        what = "missing" if one.area is None else shown(one.area)
        yield f"area is {what}", "the object's area in square pixels, from 0"
    if "iscrowd" in required and one.iscrowd is None:
        yield "iscrowd is missing", "0, or 1 for a group of objects"
    if "segmentation" in required and bytes(one.segmentation) in _NO_SEGMENTATION:
        yield "segmentation is missing", "polygons [[x, y, x, y, …], …], or a mask {size, counts}"


_NO_SEGMENTATION = (b"null", b"[]", b"{}", b"[[]]")


def _unique(
    document: Document, key: str, elements: list[Element], file: str, lines: Lines
) -> tuple[dict[int, Element], list[Problem]]:
    found: dict[int, Element] = {}
    places: dict[int, int] = {}
    problems = []
    for index, one in enumerate(elements):
        place = _index_in_file(document, key, index)
        if one.id in found:
            what = f"{key}[{place}]: id {one.id} is already used by {key}[{places[one.id]}]"
            problems.append(Problem(file, lines.line_of(key, place), what, "a unique id"))
        else:
            found[one.id] = one
            places[one.id] = place
    return found, problems


def _index_in_file(document: Document, key: str, index: int) -> int:
    places = document.places.get(key)
    return index if places is None else places[index]


def _wrong(
    one: Annotation, names: dict[int, Category], known: dict[int, Image], keypoints: bool
) -> tuple[str, str] | None:
    """The fault of an annotation and what was expected; None for a valid one."""
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
    """Objects by category name, in the order of the categories. Raises ValueError if `data` is not COCO JSON."""
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
