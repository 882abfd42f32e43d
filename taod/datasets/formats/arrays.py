"""Reader of pose_classification's data: an .npy array of skeletons and a pickle of names and classes beside it.

A pickle is a program. Only instructions that build lists, tuples, texts and numbers are allowed; a pickle that would
import or call something is rejected before anything is executed.
"""

from __future__ import annotations

import ast
import io
import pickle
import pickletools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from taod import plain_file
from taod.datasets.formats.types import MOST_TEXT, Found, Item, Label, Problem, shown, unreadable

MAGIC = b"\x93NUMPY"
DIMENSIONS = 5
"""Samples, channels, frames, joints, persons."""

_PLAIN = frozenset(
    {
        "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE",
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
        "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
        "BINBYTES", "SHORT_BINBYTES", "EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
        "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
        "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
    }
)  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class UnsafePickle(Exception):
    """A pickle that does more than build plain values."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise UnsafePickle(f"it would load {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise UnsafePickle("it refers to something outside")


def plain_pickle(data: bytes) -> Any:
    """The value of a pickle of lists, tuples, dicts, texts, bytes, numbers and None. Raises UnsafePickle for others."""
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name not in _PLAIN:
                raise UnsafePickle(f"it would run {code.name}")
            # The memo is an array as long as its highest index: it must not be larger than the file.
            if code.name in _PUTS and not 0 <= int(argument or 0) <= len(data):
                raise UnsafePickle(f"{code.name} {argument} lies outside")
        return _Plain(io.BytesIO(data), encoding="latin-1").load()
    except UnsafePickle:
        raise
    except Exception as error:  # a damaged pickle raises many types of errors
        raise UnsafePickle(f"it is damaged: {type(error).__name__}: {error}") from None


def shape(top: Path, file: str) -> tuple[int, ...] | Problem:
    """The dimensions in an .npy file's header; a problem if the file's size does not match them."""
    try:
        with plain_file.binary(top / file) as opened:
            head = opened.read(8)
            if len(head) < 8 or head[:6] != MAGIC or head[6] not in (1, 2, 3):
                return Problem(file, 0, "the file is not a NumPy array", "what numpy.save writes")
            width = 2 if head[6] == 1 else 4
            packed = opened.read(width)
            if len(packed) < width:
                return Problem(file, 0, "the array's header is cut off", "what numpy.save writes")
            (length,) = struct.unpack("<H" if width == 2 else "<I", packed)
            text = opened.read(min(length, 65_536))
        size = (top / file).stat().st_size
    except OSError as error:
        return unreadable(file, error)
    return _shape(file, text, size - 8 - width - length)


def _shape(file: str, text: bytes, body: int) -> tuple[int, ...] | Problem:
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
        kind, found = str(header["descr"]), tuple(header["shape"])
        if not all(isinstance(side, int) and side >= 0 for side in found):
            raise ValueError
        item = int(kind[2:])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return Problem(file, 0, f"the array's header is {shown(text)}", "a plain array of numbers")
    if kind[1:2] not in "fiub":
        return Problem(file, 0, f"the array is of type {shown(kind)}", "an array of numbers")
    wanted = item
    for side in found:
        wanted *= side
    if body != wanted:
        return Problem(file, 0, f"the array has {body} bytes of values", f"{wanted}, for shape {found}")
    return found


def read(top: Path) -> Iterator[Found]:
    """One item a sample, of each existing layout and split."""
    for layout in ("kinetics", "nvidia"):
        for split in ("train", "val"):
            data, labels = f"{layout}/{split}_data.npy", f"{layout}/{split}_label.pkl"
            if (top / data).is_file() and (top / labels).is_file():
                yield from _pair(top, data, labels)


def _pair(top: Path, data: str, labels: str) -> Iterator[Found]:
    found = shape(top, data)
    samples: int | None = None
    if isinstance(found, Problem):
        yield found
    elif len(found) != DIMENSIONS:
        what = f"the array has {len(found)} dimensions, {found}"
        yield Problem(data, 0, what, "5: samples, channels, frames, joints, persons")
    else:
        samples = found[0]
    try:
        with plain_file.binary(top / labels) as opened:
            content = opened.read(MOST_TEXT)
        names, classes = _columns(plain_pickle(content))
    except OSError as error:
        yield unreadable(labels, error)
        return
    except UnsafePickle as unsafe:
        yield Problem(labels, 0, f"the pickle is not read: {unsafe}", "two lists: sample names and class numbers")
        return
    if len(names) != len(classes):
        what = f"there are {len(names)} names and {len(classes)} classes"
        yield Problem(labels, 0, what, "as many classes as names")
    if samples is not None and samples != len(classes):
        yield Problem(labels, 0, f"there are {len(classes)} classes", f"{samples}, as {data} has samples")
    for at, value in enumerate(classes):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            yield Problem(labels, 0, f"class {at} is {shown(value)}", "a whole number from 0 on")
        else:
            yield Item("", labels, [Label(str(value))])


def _columns(value: Any) -> tuple[list[Any], list[Any]]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, list | tuple) for part in value):
        return list(value[0]), list(value[1])
    raise UnsafePickle(f"it holds a {type(value).__name__}, not two lists")
