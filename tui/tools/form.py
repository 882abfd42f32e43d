"""The form that installs a tool, with consent to its licence."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Select

from taod.client import AsyncClient
from taod.types.tool import Environment, ToolInfo, ToolProgress
from tui.forms.form import Form, Row, choice

GPU, CPU = "gpu", "cpu"


class InstallTool(Form[ToolProgress]):
    """Starts or resumes an installation; events report its progress."""

    YES = "Install"

    def __init__(self, client: AsyncClient, tool: ToolInfo, resumed: Environment | None = None) -> None:
        super().__init__(f"Install {tool.package} {tool.release}")
        self._client, self._tool, self._resumed = client, tool, resumed

    def rows(self) -> Iterable[Widget]:
        kinds = [("GPUs of this machine", GPU), ("the CPU: slow, for trials and tests", CPU)]
        chosen = CPU if self._resumed is not None and self._resumed.cpu else GPU
        yield Row("Runs on", choice("kind", kinds, chosen), " ")
        python = Input(placeholder=f"searched: Python {self._tool.python}", id="python", compact=True)
        yield Row("Python", python, "path of an interpreter on the daemon's machine")
        accepted = [("I accept it", True)]
        yield Row("Licence", choice("licence", accepted, None, "not accepted"), f"of the package: {self._tool.licence}")

    @on(Select.Changed, "#kind")
    def _chosen(self) -> None:
        tool, cpu = self._tool, self.chosen("#kind") == CPU
        disk, load = (tool.cpu_disk_mb, tool.cpu_download_mb) if cpu else (tool.disk_mb, tool.download_mb)
        row = next(each for each in self.query(Row) if each.widget.id == "kind")
        row.note(f"{disk / 1000:.1f} GB of disk, a download of {load / 1000:.1f} GB")

    async def submit(self) -> ToolProgress:
        kind = self.chosen("#kind")
        if kind is None:
            raise ValueError("Runs on: choose GPUs or the CPU.")
        if self.chosen("#licence") is not True:
            raise ValueError(f"Licence: accept {self._tool.licence} to install the package.")
        return await self._client.tools.install(
            self._tool.tool,
            release=self._tool.release,
            cpu=kind == CPU,
            python=self.text("#python") or None,
            accept_license=True,
        )
