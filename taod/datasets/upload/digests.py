"""Digests sent by a client with its data: `Content-Digest` and `Repr-Digest` (RFC 9530), or a plain SHA-256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from taod.errors import BadRequest

ALGORITHM = "sha-256"
_MEMBER = re.compile(r"^\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*$")
_HEX = re.compile(r"^[0-9a-fA-F]{64}$")


def parse(field: str, header: str | None) -> bytes | None:
    """The SHA-256 in a digest header; None without the header.

    Raises BadRequest for a header that violates RFC 9530 or has no SHA-256.
    """
    if header is None or not header.strip():
        return None
    found: dict[str, bytes] = {}
    for member in header.split(","):
        match = _MEMBER.match(member)
        if match is None:
            raise BadRequest(f"{field}: {member.strip()[:80]!r} is not in the form sha-256=:<base64>: of RFC 9530")
        try:
            found[match[1]] = base64.b64decode(match[2], validate=True)
        except binascii.Error as error:
            raise BadRequest(f"{field}: {match[1]} is not base64 ({error}); write it as sha-256=:<base64>:") from None
    digest = found.get(ALGORITHM)
    if digest is None:
        raise BadRequest(f"{field}: has {', '.join(found)} only; sha-256 is what can be checked here")
    return _of_32_bytes(field, digest)


def parse_hex(parameter: str, value: str | None) -> bytes | None:
    """A SHA-256 in 64 hexadecimal digits; None for None. Raises BadRequest."""
    if value is None:
        return None
    if not _HEX.match(value):
        raise BadRequest(f"{parameter}={value[:80]}: expected a SHA-256 in 64 hexadecimal digits, as sha256sum writes")
    return bytes.fromhex(value)


def one(repr_digest: bytes | None, sha256: bytes | None) -> bytes | None:
    """The file's digest from the header or the parameter. Raises BadRequest if both are given and differ."""
    if repr_digest is not None and sha256 is not None and repr_digest != sha256:
        raise BadRequest("Repr-Digest and ?sha256= are different digests; send the right one only")
    return sha256 if repr_digest is None else repr_digest


def compare(what: str, expected: bytes | None, found: bytes) -> None:
    """Raise BadRequest if a digest was given and differs from the data's."""
    if expected is not None and expected != found:
        raise BadRequest(
            f"{what}: its SHA-256 is {found.hex()}, expected {expected.hex()}: damaged in transit, or another "
            "file; it was discarded, send it again"
        )


class Digests:
    """Computes the digest of a body while it is received."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        self._hash.update(chunk)

    def digest(self) -> bytes:
        return self._hash.digest()


def _of_32_bytes(field: str, digest: bytes) -> bytes:
    if len(digest) != 32:
        raise BadRequest(f"{field}: sha-256 has {len(digest)} bytes, a SHA-256 has 32")
    return digest
