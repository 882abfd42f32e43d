"""Images of a CSV file, with a class in each of several tasks: every column but the image's is one. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runners.engine.core.images import first_names, required_folder
from runners.engine.errors import DataError
from taod.datasets.formats import tables
from taod.datasets.formats.classification import FILE_COLUMNS
from taod.datasets.formats.types import Problem


class Table(msgspec.Struct, frozen=True):
    """`labels` are, of each image, indices into the classes of each task."""

    names: list[str]
    """Paths."""
    labels: list[list[int]]

    def path(self, index: int) -> str:
        return self.names[index]

    def digest(self) -> str:
        found = hashlib.sha256()
        for name, labels in zip(self.names, self.labels, strict=True):
            found.update(f"{labels} {Path(name).name}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()


def read(
    file: str | None, folder: str | None, fields: tuple[str, str], tasks: Mapping[str, Sequence[str]] | None = None
) -> tuple[Table, dict[str, list[str]]]:
    """The images of a table with their labels, and the classes by task: those of the table, in the order of the
    alphabet, or those given. Raises DataError naming the file and its line."""
    images = required_folder(folder, fields[1])
    if not file:
        raise DataError(f"{fields[0]} is not set.")
    path = Path(file)
    # Training and validation share a folder in the specification; a dataset has the images of val.csv in images_val.
    places = [path.parent / f"images_{path.stem}", images, path.parent / "images"]
    names: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    for row in tables.rows(path.parent, path.name):
        if isinstance(row, Problem):
            raise DataError(f"{path}:{row.line}: {row.what}; expected {row.expected}.")
        line, cells = row
        name = cells.pop(next((column for column in FILE_COLUMNS if column in cells), next(iter(cells))))
        found = next((place / name for place in places if name and (place / name).is_file()), None)
        if found is None:
            raise DataError(f"{path}:{line}: the image '{name}' is missing in {images}.")
        names.append(str(found))
        rows.append((line, cells))
    if not rows:
        raise DataError(f"{path} has no rows.")
    known = tasks or {task: sorted({cells[task] for _, cells in rows}) for task in rows[0][1]}
    if not known or list(known) != list(rows[0][1]):
        raise DataError(
            f"{path} has the tasks {first_names(list(rows[0][1]))}; the model has {first_names(list(known))}."
        )
    order = {task: {value: index for index, value in enumerate(values)} for task, values in known.items()}
    labels = []
    for line, cells in rows:
        unknown = next((task for task, value in cells.items() if not value or value not in order[task]), None)
        if unknown is not None:
            what = f"is not among {first_names(list(known[unknown]))}" if cells[unknown] else "is empty"
            raise DataError(f"{path}:{line}: {unknown} '{cells[unknown]}' {what}.")
        labels.append([order[task][value] for task, value in cells.items()])
    return Table(names, labels), {task: list(values) for task, values in known.items()}
