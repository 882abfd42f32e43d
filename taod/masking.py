"""The one mask over secrets, wherever a command, an environment or a log is shown."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret in it masked; empty ones say nothing."""
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return text
