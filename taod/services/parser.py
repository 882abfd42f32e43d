"""Parses the texts of requests: short ones at once, longer ones in a helper process with a deadline.

Parsing holds the interpreter's lock; in its own process it does not delay other requests.
"""

from __future__ import annotations

from typing import Any

import msgspec

from taod.catalogue.network import Network
from taod.catalogue.specfiles.parse_process import MEMORY_BYTES, SHORT_BYTES, Text, read
from taod.config import LimitsConfig
from taod.documents import Bounds, DocumentError
from taod.errors import Unavailable
from taod.helper_process import HelperProcess, Rejected

_START_S = 5.0
"""Added to the deadline for the start of the process."""
_MAX_PENDING = 32


class Parser:
    """Parses within `[limits]`; raises DocumentError or ParseError for an invalid text."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.limits = limits
        self.bounds = Bounds(limits.document_values, limits.document_depth)
        self._helper = HelperProcess("taod.catalogue.specfiles.parse_process", limits.parse_s + _START_S)
        self._pending = 0

    async def json(self, raw: bytes) -> Any:
        """The value of a JSON text. Raises DocumentError, Unavailable."""
        return await self._read(Text(raw, self.bounds))

    async def spec(self, spec_format: str, text: str, network: Network, action: str) -> dict[str, Any]:
        """The document in a specification file. Raises DocumentError, ParseError, Unavailable."""
        names = (network.name, network.release, action)
        document: dict[str, Any] = await self._read(Text(text.encode(), self.bounds, spec_format, *names))
        return document

    async def close(self) -> None:
        """End the helper process."""
        await self._helper.close()

    async def _read(self, text: Text) -> Any:
        if len(text.text) <= SHORT_BYTES:
            return read(text)
        if self._pending >= _MAX_PENDING:
            raise Unavailable("too many long documents are being read; retry later", headers={"Retry-After": "5"})
        self._pending += 1
        try:
            return msgspec.msgpack.decode(await self._helper.ask(msgspec.msgpack.encode(text)))
        except Rejected as error:
            raise DocumentError(str(error)) from error
        except TimeoutError:
            raise DocumentError(f"reading it takes more than limits.parse_s = {self.limits.parse_s:g} s") from None
        except EOFError:
            raise DocumentError(f"reading it takes more than {MEMORY_BYTES >> 20} MiB of memory") from None
        finally:
            self._pending -= 1
