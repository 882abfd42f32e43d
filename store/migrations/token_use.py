"""When a token was last used."""

from __future__ import annotations

SCRIPT = "ALTER TABLE tokens ADD COLUMN last_used_on TEXT;"
