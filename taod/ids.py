"""Creates ids: random UUIDs (RFC 9562 version 4) in their canonical text form."""

from __future__ import annotations

import uuid


def new_id() -> str:
    """A new random id."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in canonical form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
