"""docs/client.ipynb: its code runs against a daemon with the embedded engine and prints what the notebook shows.

`python -m tests.client.test_client_notebook` runs it against the daemon of TAOD_ROOT and writes its outputs.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.journey import Daemon

NOTEBOOK = Path(__file__).parents[2] / "docs/client.ipynb"


def read() -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return notebook


def executed(notebook: dict[str, Any]) -> list[str]:
    """Runs the code cells in order in one namespace; returns what each prints."""
    namespace: dict[str, Any] = {}
    printed = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), namespace)
            printed.append(output.getvalue())
    return printed


def shown(notebook: dict[str, Any]) -> list[str]:
    """The outputs that the notebook has, one text for each code cell."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in cells]


def write() -> None:
    notebook = read()
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell, text in zip(cells, executed(notebook), strict=True):
        lines = text.splitlines(keepends=True)
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    NOTEBOOK.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.engine
def test_the_notebook_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    daemon = Daemon(tmp_path / "root").start()
    monkeypatch.setenv("TAOD_ROOT", str(daemon.root))
    notebook = read()
    devices, *printed = executed(notebook)
    assert devices.splitlines()[0] == "ok"
    assert printed == shown(notebook)[1:]
    assert daemon.stop() == 0


if __name__ == "__main__":
    write()
