"""Errors of the client; `str(error)` is a sentence for the user."""

from __future__ import annotations


class ClientError(Exception):
    """The daemon rejected the request. `status` is the HTTP status, `description` the server's error_desc."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status, self.description = status, description


class NoDaemon(ClientError):
    """No daemon answers; the description says at which address, and the remedy. `status` is 0."""

    def __init__(self, description: str) -> None:
        super().__init__(0, description)
