"""What every test wants."""

from __future__ import annotations

import logging

# One line a request would bury what a failing test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)
