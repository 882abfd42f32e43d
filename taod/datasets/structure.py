"""Whether a folder is laid out as its type and format say, and where its top is under leading folders."""

from __future__ import annotations

import os
from pathlib import Path

from taod.datasets.junk import is_junk
from taod.datasets.layouts import Layout, layout
from taod.errors import BadRequest

LEADING = 8
"""Leading folders looked through."""
TREE_LINES = 15
NAMES = 8
"""Names listed in one message."""

SPLIT_FOLDERS = frozenset({"images_train", "images_val", "images_test"})


def check(folder: Path, type_: str, format_: str) -> Path:
    """The data set's top: `folder`, or what is left when leading folders are stripped. Changes nothing.

    Raises BadRequest that says what is missing, what was expected, and shows the tree that was found. Blocks: for a
    thread.
    """
    wanted = layout(type_, format_)
    top, closest, fewest = folder, folder, None
    for _ in range(LEADING + 1):
        missing = _missing(top, wanted, type_)
        if not missing:
            if type_ == "image_classification":
                _check_classification(top, format_)
            return top
        if fewest is None or len(missing) < len(fewest):
            closest, fewest = top, missing
        inner = _folders(top)
        # A link is not gone through: the top stays below the folder that was asked about.
        if len(inner) != 1 or (top / inner[0]).is_symlink():
            break
        top = top / inner[0]
    raise _refusal(closest, type_, format_, f"missing: {', '.join(fewest or [])}")


def _missing(top: Path, wanted: Layout, type_: str) -> list[str]:
    missing = [path for path in wanted.needs if not _there(top, path)]
    for choice in wanted.one_of:
        if not any(all(_there(top, path) for path in alternative) for alternative in choice):
            nearest = min(choice, key=lambda alternative: sum(not _there(top, path) for path in alternative))
            if any(_there(top, path) for path in nearest):
                missing += [path for path in nearest if not _there(top, path)]
            else:
                missing.append(" or ".join(" with ".join(alternative) for alternative in choice))
    if type_ == "image_classification" and not _image_folders(top):
        missing.append("images_train/ (or images/, images_val/, images_test/)")
    return missing


def _there(top: Path, path: str) -> bool:
    return (top / path).is_dir() if path.endswith("/") else (top / path).is_file()


def _folders(top: Path) -> list[str]:
    with os.scandir(top) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".") and not is_junk(entry.name)
        )


def _image_folders(top: Path) -> list[str]:
    return [name for name in _folders(top) if name.startswith("images")]


def _check_classification(top: Path, format_: str) -> None:
    """Rules beyond which files are there: one images* folder, class folders in it, the names of classes.txt.

    A set has one role (train, eval, inference), and a role reads its own folder: images_train, images_val or
    images_test. So those three may come together, each being found by its name; any other pair leaves open which one
    is meant.
    """
    folders = _image_folders(top)
    if len(folders) > 1 and not SPLIT_FOLDERS.issuperset(folders):
        raise _refusal(
            top,
            "image_classification",
            format_,
            f"{' and '.join(f'{name}/' for name in folders)} lie side by side, and which one is meant is open; "
            "keep one, or use only images_train/, images_val/ and images_test/",
        )
    if format_ == "custom" and "images_train" in folders and not _there(top, "train.csv"):
        raise _refusal(top, "image_classification", format_, "missing: train.csv, which lists what images_train/ holds")
    if format_ in ("raw", "custom"):
        return  # pictures lie flat: raw ones have no classes, a custom set's are in its csv
    names = _class_names(top) if format_ == "classification_pyt" else None
    for folder in folders:
        if folder == "images_test":
            continue  # what is only to be inferred needs no class
        classes = _folders(top / folder)
        if not classes:
            raise _refusal(
                top,
                "image_classification",
                format_,
                f"{folder}/ has no subfolders: each class's pictures lie in its own",
            )
        if names is not None:
            _compare(folder, classes, names)


def _class_names(top: Path) -> list[str]:
    try:
        lines = (top / "classes.txt").read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"classes.txt is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise BadRequest("classes.txt is empty; write one class name a line, the names of the class folders")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise BadRequest(f"classes.txt names {some(twice)} more than once; keep one line each")
    return names


def _compare(folder: str, classes: list[str], names: list[str]) -> None:
    """Tools number the classes by the sorted folders, so one name too few or too many shifts the rest."""
    said = []
    unnamed = sorted(set(classes) - set(names))
    if unnamed:
        said.append(f"{folder}/ has {some(unnamed)}, which classes.txt does not name")
    absent = sorted(set(names) - set(classes))
    if absent:
        said.append(f"classes.txt names {some(absent)}, for which {folder}/ has no folder")
    if said:
        raise BadRequest(f"{'; '.join(said)}. Make the class folders and the lines of classes.txt the same names")


def some(names: list[str]) -> str:
    """The first few names, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:NAMES])
    return shown if len(names) <= NAMES else f"{shown} and {len(names) - NAMES} more"


def _refusal(top: Path, type_: str, format_: str, what: str) -> BadRequest:
    expected = layout(type_, format_).words()
    if type_ == "image_classification":
        folders = "one images folder (images/, images_train/, images_val/, images_test/), or several of the last three"
        classes = "" if format_ in ("raw", "custom") else ", with a subfolder for each class"
        expected = f"{folders}{classes}{', ' if expected else ''}{expected}"
        if format_ == "custom":
            expected += ", and train.csv beside images_train/"
    return BadRequest(
        f"The files are not laid out as a data set of type {type_}, format {format_}: {what}.\n"
        f"Expected at the top: {expected}.\nFound:\n{tree(top)}"
    )


def tree(top: Path) -> str:
    """What a folder holds, two levels deep, in at most 15 lines; long lists are cut with a count of the rest."""
    lines = _lines(top, TREE_LINES, "")
    return "\n".join(lines) if lines else "(nothing)"


def _lines(folder: Path, room: int, indent: str) -> list[str]:
    with os.scandir(folder) as entries:
        found = sorted((not entry.is_dir(), entry.name) for entry in entries if not is_junk(entry.name))
    shown = found if len(found) <= room else found[: room - 1]
    lines = []
    spare = room - len(shown) - (len(found) > len(shown))
    folders = sum(not is_file for is_file, _ in shown)
    for is_file, name in shown:
        label = name if len(name) <= 60 else f"{name[:57]}…"
        lines.append(f"{indent}{label if label.isprintable() else ascii(label)[1:-1]}{'' if is_file else '/'}")
        if not is_file and not indent and spare > 0:
            share = max(1, spare // folders)
            inner = _lines(folder / name, share, "  ")
            lines += inner
            spare -= len(inner)
            folders -= 1
    if len(found) > len(shown):
        lines.append(f"{indent}… {len(found) - len(shown)} more")
    return lines
