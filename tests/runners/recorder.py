"""A Unix socket in front of an engine that passes everything on and keeps the bodies of what is asked."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any


class Recorder:
    """`url` is where to ask; `bodies(path)` is what was sent to it."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine = engine.removeprefix("unix://")
        self.url = f"unix://{folder}/recorder.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/recorder.sock")
        self._listener.listen()
        self._sent: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def bodies(self, path: str) -> list[dict[str, Any]]:
        found = []
        for request in b"".join(self._sent).split(b"POST ")[1:]:
            head, _, body = request.partition(b"\r\n\r\n")
            if path.encode() in head.split(b"\r\n")[0]:
                found.append(json.JSONDecoder().raw_decode(body.decode())[0])
        return found

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            threading.Thread(target=self._pass, args=(client, engine, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(engine, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        try:
            while data := source.recv(65536):
                if keep:
                    self._sent.append(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
