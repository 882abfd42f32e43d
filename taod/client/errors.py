"""What can go wrong between a client and the daemon; `str(error)` is a sentence for the user."""

from __future__ import annotations


class ClientError(Exception):
    """The daemon answered, and refused. `status` is the HTTP status, `description` the server's error_desc."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status, self.description = status, description


class NoDaemon(ClientError):
    """Nobody answers where the daemon should be; the description says where that is and what to do. `status` is 0."""

    def __init__(self, description: str) -> None:
        super().__init__(0, description)
