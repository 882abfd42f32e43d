"""The result of one check of `taod doctor`: verdict, observation, remedy and repair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class CheckResult(NamedTuple):
    """The result of one check. `remedy` is empty if nothing needs to be done; of a passed check it is a hint. `fix`
    repairs the cause, if doctor can, and returns a sentence about it. `details` are lines for --verbose."""

    ok: bool
    name: str
    found: str
    remedy: str = ""
    fix: Callable[[], str] | None = None
    fixed: str = ""
    details: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """The fields as `--json` prints them."""
        return {
            "ok": self.ok,
            "what": self.name,
            "found": self.found,
            "remedy": self.remedy,
            "fixable": self.fix is not None,
            "fixed": self.fixed,
            "details": list(self.details),
        }

    def repaired(self) -> CheckResult:
        """The result after its fix, if it has one. A failed fix is added to the remedy."""
        if self.ok or self.fix is None:
            return self
        try:
            return self._replace(ok=True, fixed=self.fix(), fix=None)
        except OSError as error:
            return self._replace(remedy=f"{self.remedy} (--fix could not: {error})")
