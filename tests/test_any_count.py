"""How often the product's annotations say `Any` and it handles every exception: the numbers may only fall."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = {"runners": 64, "store": 22, "taod": 429, "tui": 66}
"""By package: as many as there were. Lower a number when a change removes some."""
BROAD = {"Exception", "BaseException"}
MOST_BROAD = {"runners": 14, "store": 2, "taod": 56, "tui": 1}
"""By package: as many as there were. Lower a number when a change removes some."""
QUIET = {
    "runners.docker.engine.run": "given to the caller, which waits for the thread",
    "runners.engine.core.loading.__getitem__": "an unreadable sample is reported by its path",
    "runners.engine.data.analyze._draw": "the sample's problem has been counted before",
    "runners.engine.data.generate.augment": "an unreadable image is reported by its path",
    "runners.engine.data.unet.opened": "an unreadable image is reported by its path",
    "runners.toolenv.layer.probe.attempt": "why a module cannot be imported is the answer",
    "taod.datasets.archive.decompression._run": "given to the reader, which raises it",
    "taod.datasets.formats.image.measure": "an unreadable image is a problem of the check",
    "taod.datasets.formats.masks.inspect_mask": "an unreadable mask is a problem of the check",
    "taod.datasets.upload.growing_file.close": "flush or written have raised it",
    "taod.datasets.upload.upload_session.run": "given to the caller, which raises it",
    "taod.datasets.validation.samples._tint": "the check reports the mask",
    "taod.helper_process.serve": "given to the daemon, which decides",
    "tui.live.__await__": "given to the coroutine",
}
"""Function → what becomes of the error that it neither raises nor logs."""


def count(package: str) -> int:
    """The uses of the name `Any`; imports do not count."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py"))
    return sum(isinstance(node, ast.Name) and node.id == "Any" for tree in trees for node in ast.walk(tree))


@pytest.mark.parametrize("package", MOST)
def test_any_becomes_no_more_frequent(package: str) -> None:
    assert count(package) <= MOST[package], f"{package}: annotate what was added with its type"


def handlers(package: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Each broad handler of the package with `module.function`."""
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _caught(node) & BROAD:
                around = [each for each in functions if each.lineno <= node.lineno <= (each.end_lineno or 0)]
                yield ".".join([module, *(each.name for each in around[-1:])]), node


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return BROAD
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def _loud(handler: ast.ExceptHandler) -> bool:
    """Whether it raises, or calls `log.exception` or `Backoff.report`."""
    return any(
        isinstance(node, ast.Raise)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("exception", "report")
        )
        for each in handler.body
        for node in ast.walk(each)
    )


@pytest.mark.parametrize("package", MOST_BROAD)
def test_broad_handlers_become_no_more_frequent(package: str) -> None:
    assert len(list(handlers(package))) <= MOST_BROAD[package], f"{package}: catch what can happen there"


def test_every_broad_handler_raises_logs_or_is_listed() -> None:
    assert {name for package in MOST_BROAD for name, handler in handlers(package) if not _loud(handler)} == set(QUIET)
