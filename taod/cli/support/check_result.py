"""One line of `taod doctor`: a verdict, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """One thing looked at. `remedy` is empty where nothing need be done; `fix`, where doctor may do it itself, does it
    and returns what was done."""

    ok: bool
    what: str
    found: str
    remedy: str = ""
    fix: Callable[[], str] | None = None
    fixed: str = ""

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "ok": self.ok,
            "what": self.what,
            "found": self.found,
            "remedy": self.remedy,
            "fixable": self.fix is not None,
            "fixed": self.fixed,
        }

    def mended(self) -> Finding:
        """Itself after the fix, if there is one; what goes wrong with that is told as the remedy."""
        if self.ok or self.fix is None:
            return self
        try:
            return self._replace(ok=True, fixed=self.fix(), fix=None)
        except OSError as error:
            return self._replace(remedy=f"{self.remedy} (--fix could not: {error})")
