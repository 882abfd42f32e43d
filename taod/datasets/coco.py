"""Reading of a COCO annotations file just what a summary needs: how many objects each category has."""

from __future__ import annotations

from pathlib import Path

import msgspec

from taod.errors import BadRequest

MOST_BYTES = 512 * 1024**2
"""A larger file is left to the full check: it would be read whole into memory."""


class _Category(msgspec.Struct):
    id: int
    name: str


class _Annotation(msgspec.Struct):
    category_id: int


class _Coco(msgspec.Struct):
    categories: list[_Category] = []
    annotations: list[_Annotation] = []


def class_counts(file: Path) -> dict[str, int] | None:
    """Objects by category name, in the order of the file's categories; None for a file too large to look into.

    Raises BadRequest when it is not COCO JSON.
    """
    if file.stat().st_size > MOST_BYTES:
        return None
    try:
        document = msgspec.json.decode(file.read_bytes(), type=_Coco)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file.name} is not COCO JSON: {error}; correct it and upload again") from None
    names = {category.id: category.name for category in document.categories}
    counts = dict.fromkeys(names.values(), 0)
    for annotation in document.annotations:
        name = names.get(annotation.category_id)
        if name is not None:
            counts[name] += 1
    return counts
