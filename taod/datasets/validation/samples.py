"""Cached thumbnails of some of a dataset's images, with boxes or masks drawn. Blocks: run in a thread."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taod import plain_file
from taod.datasets.formats import masks, reader
from taod.datasets.formats.image import measure
from taod.datasets.formats.types import Item, is_shown
from taod.errors import NotFound
from taod.types.dataset import DatasetSample

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 24
SIDE = 256
"""Pixels of a thumbnail's longer side."""
OPACITY = 110
"""Opacity of a class's colour over its pixels, from 0 to 255."""
BUDGET_S = 3.0
"""Time limit for choosing without a check; samples of a larger dataset come from its beginning."""
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
IGNORED = "dontcare"


def choose(top: Path, type_: str, format_: str, review: Path, fingerprint: str | None) -> list[Item]:
    """Some items with images: those chosen by the check, else a random choice, cached in `review`."""
    kept = review / f"chosen-{_mark(fingerprint)}.json"
    for file in (kept, review / "samples.json"):
        if file is not kept and not _is_of(review / "report.json", fingerprint):
            continue
        try:
            items = msgspec.json.decode(plain_file.read(file), type=list[Item])
        except (OSError, msgspec.MsgspecError):
            continue
        return _readable(top, items)
    items = _random_items(top, type_, format_)
    review.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in review.glob("chosen-*.json"):
        old.unlink(missing_ok=True)
    kept.write_bytes(msgspec.json.encode(items))
    return _readable(top, items)


def views(items: list[Item]) -> list[DatasetSample]:
    """The samples as clients see them, numbered from 0."""
    return [
        DatasetSample(
            number,
            item.image,
            list(dict.fromkeys(label.name for label in item.labels)),
            sum(label.box is not None for label in item.labels),
        )
        for number, item in enumerate(items)
    ]


def thumbnail(top: Path, item: Item, review: Path, fingerprint: str | None, *, boxes: bool) -> bytes:
    """A JPEG of one item, created on the first request. Raises NotFound for an unreadable image."""
    folder = review / "thumbnails"
    name = hashlib.blake2b(f"{fingerprint}\0{item.image}\0{boxes}".encode(errors="surrogateescape"), digest_size=12)
    kept = folder / f"{name.hexdigest()}.jpg"
    try:
        return plain_file.read(kept)
    except OSError:
        pass
    made = _draw(top, item, boxes)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = folder / f".{kept.name}"
    aside.write_bytes(made)
    aside.replace(kept)
    return made


def _draw(top: Path, item: Item, boxes: bool) -> bytes:
    import io

    from PIL import Image, ImageDraw

    try:
        with plain_file.binary(top / item.image) as file, Image.open(file) as opened:
            opened.draft("RGB", (SIDE, SIDE))
            width, height = item.size or _size_of(opened, top, item.image)
            img = opened.convert("RGB")
        img.thumbnail((SIDE, SIDE))
        if boxes and item.mask:
            _tint(img, top / item.mask)
    except Exception as error:  # a damaged image fails in as many ways as there are formats
        raise NotFound(f"the image {item.image} cannot be read: {error}; the report says more") from None
    if boxes:
        draw = ImageDraw.Draw(img)
        across, down = img.width / max(width, 1), img.height / max(height, 1)
        for label in item.labels:
            if label.box is None or label.name.lower() == IGNORED:
                continue
            left, right = sorted((label.box.left * across, label.box.right * across))
            upper, lower = sorted((label.box.top * down, label.box.bottom * down))
            colour = _COLOURS[sum(label.name.encode()) % len(_COLOURS)]
            draw.rectangle((left, upper, right, lower), outline=colour, width=2)
    out = io.BytesIO()
    img.save(out, "JPEG", quality=85)
    return out.getvalue()


def _tint(img: Image, mask: Path) -> None:
    """Draw each class's pixels in its colour over the image; class 0 and invalid masks are skipped."""
    from PIL import Image

    try:
        with plain_file.binary(mask) as file, Image.open(file) as opened:
            found = masks.plain(opened)
    except Exception:  # a damaged image fails in as many ways as there are formats; the report has it
        return
    if isinstance(found, str):
        return
    found = found.resize(img.size, Image.Resampling.NEAREST)
    for number, count in enumerate(found.histogram()):
        if number and count:
            overlay = found.point([OPACITY if value == number else 0 for value in range(256)], "L")
            img.paste(_COLOURS[number % len(_COLOURS)], (0, 0), overlay)


def _size_of(opened: object, top: Path, img: str) -> tuple[int, int]:
    """Width and height before a reduced decoding was requested."""
    found = measure(top, img)
    return found if isinstance(found, tuple) else (1, 1)


def _random_items(top: Path, type_: str, format_: str) -> list[Item]:
    chosen: list[Item] = []
    chance, seen, until = random.Random(0), 0, time.monotonic() + BUDGET_S
    for found in reader(type_, format_)(top):
        if not isinstance(found, Item) or not is_shown(found):
            continue
        seen += 1
        if len(chosen) < MOST:
            chosen.append(found)
        elif (place := chance.randrange(seen)) < MOST:
            chosen[place] = found
        if time.monotonic() > until:
            break
    return chosen


def _readable(top: Path, items: list[Item]) -> list[Item]:
    """The items whose images still exist."""
    return sorted((item for item in items if (top / item.image).is_file()), key=lambda item: item.image)


class _Report(msgspec.Struct):
    fingerprint: str | None = None


def _is_of(report: Path, fingerprint: str | None) -> bool:
    try:
        return msgspec.json.decode(plain_file.read(report), type=_Report).fingerprint == fingerprint
    except (OSError, msgspec.MsgspecError):
        return False


def _mark(fingerprint: str | None) -> str:
    return hashlib.blake2b((fingerprint or "").encode(), digest_size=8).hexdigest()
