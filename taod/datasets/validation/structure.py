"""Checks that a folder has the layout of its type and format, and finds its top below leading folders."""

from __future__ import annotations

import os
from pathlib import Path

from taod import plain_file
from taod.datasets.names import is_junk, printable
from taod.datasets.validation.fingerprint import folders
from taod.datasets.validation.layout_suggestions import hint
from taod.datasets.validation.layouts import Content, Layout, layout
from taod.errors import BadRequest

LEADING = 8
"""Most leading folders that are stripped."""
TREE_LINES = 15
DEEPEST = 6
"""Indent of the deepest level that a tree shows."""
NAMES = 8
"""Names listed in one message."""

SPLIT_FOLDERS = frozenset({"images_train", "images_val", "images_test"})
IMAGE_FOLDERS = ("images_train/", "images/", "images_val/", "images_test/")


def check(folder: Path, type_: str, format_: str) -> Path:
    """Check the layout. Returns the dataset's top: `folder` without leading folders. Changes nothing.

    Raises BadRequest with the missing paths, the expected layout and the tree found. Blocks: run in a thread.
    """
    wanted = layout(type_, format_)
    top, closest, fewest = folder, folder, None
    for _ in range(LEADING + 1):
        missing = _missing(top, wanted, type_)
        if not missing:
            held = wanted.holds
            if type_ == "image_classification":
                _check_classification(top, format_)
                held = (Content(tuple(f"{name}/" for name in _image_folders(top))),)
            for content in held:
                if not _holds(top, content):
                    raise _layout_error(top, type_, format_, _hollow(content))
            return top
        if fewest is None or len(missing) < len(fewest):
            closest, fewest = top, missing
        inner = _folders(top)
        # Links are not followed: the top stays below `folder`.
        if len(inner) != 1 or (top / inner[0]).is_symlink():
            break
        top = top / inner[0]
    said = ", ".join(_explained(closest, each, wanted) for each in fewest or [])
    raise _layout_error(closest, type_, format_, f"missing: {said}")


_Lacking = tuple[tuple[str, ...], ...]
"""Sets of paths of which one suffices; mostly one set of one path."""


def _missing(top: Path, wanted: Layout, type_: str) -> list[_Lacking]:
    missing: list[_Lacking] = [((path,),) for path in wanted.needs if not _exists(top, path)]
    for choice in wanted.one_of:
        if not any(all(_exists(top, path) for path in alternative) for alternative in choice):
            nearest = min(choice, key=lambda alternative: sum(not _exists(top, path) for path in alternative))
            if any(_exists(top, path) for path in nearest):
                missing += [((path,),) for path in nearest if not _exists(top, path)]
            else:
                missing.append(choice)
    if type_ == "image_classification" and not _image_folders(top):
        missing.append(tuple((path,) for path in IMAGE_FOLDERS))
    return missing


def _explained(top: Path, lacking: _Lacking, wanted: Layout) -> str:
    """The missing paths as text, with existing entries that may be meant."""
    said = " or ".join(" with ".join(alternative) for alternative in lacking)
    known = wanted.paths()
    found = (hint(top, path, known) for alternative in lacking for path in alternative)
    why = next((each for each in found if each), "")
    if not why and lacking[0] == (IMAGE_FOLDERS[0],):
        why = _unprefixed(top)
    elif not why and len(lacking) == 1:
        why = _loose(top, lacking[0], wanted)
    return f"{said} ({why})" if why else said


def _unprefixed(top: Path) -> str:
    """A hint at classification splits with the names of other tools."""
    named = next((name for name in ("train", "val", "test") if (top / name).is_dir()), None)
    return f"there is {named}/: call it images_{named}/" if named else ""


def _loose(top: Path, lacking: tuple[str, ...], wanted: Layout) -> str:
    """A hint at the contents of a missing folder that lie at the top instead."""
    for content in wanted.holds:
        if set(lacking) & set(content.folders):
            _, entries = next(folders(top))
            known = set(wanted.paths())
            if any(content.accepts(entry.name) and entry.name not in known for entry in entries):
                return f"there are {content.what} at the top: they go there"
    return ""


def _holds(top: Path, content: Content) -> bool:
    """Whether one of the folders holds such a file, at any depth."""
    return any(
        content.accepts(entry.name)
        for folder in content.folders
        if (top / folder).is_dir()
        for _, entries in folders(top / folder)
        for entry in entries
    )


def _hollow(content: Content) -> str:
    ends = ", ".join(sorted(content.suffixes))
    ends = f"one of {ends}" if len(content.suffixes) > 1 else ends
    where = " or ".join(printable(folder) for folder in content.folders)
    return f"there are no {content.what} in {where}; files that end in {ends} are taken for {content.what}"


def _exists(top: Path, path: str) -> bool:
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
    """Check what a layout cannot express: one images* folder, class folders in it, the names of classes.txt.

    A dataset has one role (train, eval, inference), and each role reads its own folder: images_train, images_val or
    images_test. These three may exist together; any other pair is ambiguous.
    """
    found = _image_folders(top)
    if len(found) > 1 and not SPLIT_FOLDERS.issuperset(found):
        raise _layout_error(
            top,
            "image_classification",
            format_,
            f"{' and '.join(f'{printable(name)}/' for name in found)} lie side by side, and which one is "
            "meant is open; keep one, or use only images_train/, images_val/ and images_test/",
        )
    if format_ == "custom" and "images_train" in found and not _exists(top, "train.csv"):
        raise _layout_error(
            top, "image_classification", format_, "missing: train.csv, which lists what images_train/ holds"
        )
    if format_ in ("raw", "ssl", "custom"):
        return  # no class folders: images of raw and ssl have no classes, those of custom have them in train.csv
    names = _class_names(top) if format_ == "classification_pyt" else None
    for folder in found:
        if folder == "images_test":
            continue  # images for inference need no classes
        classes = _folders(top / folder)
        if not classes:
            raise _layout_error(
                top,
                "image_classification",
                format_,
                f"{printable(folder)}/ has no subfolders: each class's images lie in its own",
            )
        if names is not None:
            _compare(folder, classes, names)


def _class_names(top: Path) -> list[str]:
    try:
        lines = plain_file.read(top / "classes.txt").decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadRequest(
            f"classes.txt is not UTF-8 text (line {line}: {error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise BadRequest("classes.txt is empty; write one class name a line, the names of the class folders")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise BadRequest(f"classes.txt names {some(twice)} more than once; keep one line each")
    return names


def _compare(folder: str, classes: list[str], names: list[str]) -> None:
    """Compare folders with classes.txt: tools number classes by sorted folders, so one difference shifts the rest."""
    said = []
    unnamed = sorted(set(classes) - set(names))
    if unnamed:
        said.append(f"{printable(folder)}/ has {some(unnamed)}, which classes.txt does not name")
    absent = sorted(set(names) - set(classes))
    if absent:
        said.append(f"classes.txt names {some(absent)}, for which {printable(folder)}/ has no folder")
    if said:
        raise BadRequest(f"{'; '.join(said)}. Make the class folders and the lines of classes.txt the same names")


def some(names: list[str]) -> str:
    """The first names, quoted, and the number of further ones."""
    shown = ", ".join(repr(name) for name in names[:NAMES])
    return shown if len(names) <= NAMES else f"{shown} and {len(names) - NAMES} more"


def _layout_error(top: Path, type_: str, format_: str, what: str) -> BadRequest:
    expected = layout(type_, format_).describe()
    if type_ == "image_classification":
        one = "one images folder (images/, images_train/, images_val/, images_test/), or several of the last three"
        classes = "" if format_ in ("raw", "ssl", "custom") else ", with a subfolder for each class"
        expected = f"{one}{classes}{', ' if expected else ''}{expected}"
        if format_ == "custom":
            expected += ", and train.csv beside images_train/"
    return BadRequest(
        f"The files are not laid out as a dataset of type {type_}, format {format_}: {what}.\n"
        f"Expected at the top: {expected}.\nFound:\n{tree(top)}"
    )


def tree(top: Path) -> str:
    """A folder's contents in at most 15 lines and four levels; long lists are cut, with a count of the rest."""
    lines = _lines(top, TREE_LINES, "")
    return "\n".join(lines) if lines else "(nothing)"


def _lines(folder: Path, room: int, indent: str) -> list[str]:
    with os.scandir(folder) as entries:
        found = sorted((not entry.is_dir(), entry.name) for entry in entries if not is_junk(entry.name))
    shown = found if len(found) <= room else found[: room - 1]
    lines = []
    spare = room - len(shown) - (len(found) > len(shown))
    unshown = sum(not is_file for is_file, _ in shown)
    for is_file, name in shown:
        label = name if len(name) <= 60 else f"{name[:57]}…"
        lines.append(f"{indent}{printable(label)}{'' if is_file else '/'}")
        if not is_file and len(indent) < DEEPEST and spare > 0:
            share = max(1, spare // unshown)
            inner = _lines(folder / name, share, f"{indent}  ")
            lines += inner
            spare -= len(inner)
            unshown -= 1
    if len(found) > len(shown):
        lines.append(f"{indent}… {len(found) - len(shown)} more")
    return lines
