"""Turns the engine's reports on a download into progress lines for the job's log. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEP = 0.05
"""Fraction of the download between two lines."""
GIB = 1024**3


class Progress:
    """Adds up layers. `line_for` returns a line if there is progress to report, else None."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}
        self._reported = -1.0
        self._seen: set[str] = set()
        self._done: set[str] = set()

    def line_for(self, report: Mapping[str, Any]) -> str | None:
        detail = report.get("progressDetail") or {}
        layer, status = str(report.get("id") or ""), report.get("status")
        if layer and status == "Pulling fs layer":
            self._seen.add(layer)
        elif layer in self._seen and status == "Download complete" and layer not in self._done:
            self._done.add(layer)
            if not self._layers:  # Podman reports no bytes of layers that are present
                return f"{self._image}: {len(self._done)} of {len(self._seen)} layers"
        if layer and status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif layer in self._layers and status in ("Download complete", "Pull complete"):
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        return self._line()

    def _line(self) -> str | None:
        total = sum(of for _, of in self._layers.values())
        have = sum(got for got, _ in self._layers.values())
        # The total grows while layers are discovered: a falling share is not reported.
        if not total or (have / total < self._reported + STEP and not self._reported < have / total == 1):
            return None
        self._reported = have / total
        return f"{self._image}: {have / total:.0%} of {total / GIB:.1f} GiB"
