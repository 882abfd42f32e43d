"""Reads protobuf text without a schema. Pure; `emit.py` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from taod.documents import BOUNDS, LARGEST, Bounds

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f\v]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)(?![A-Za-z0-9_.]))
      | (?P<name>-?[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x(?P<hex>[0-9a-fA-F]{1,2})|(?P<octal>[0-7]{1,3})|(?P<letter>.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}
_WORDS: dict[str, Any] = {"true": True, "True": True, "false": False, "False": False}
_FLOATS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_TOKENS_OF_A_VALUE = 4
"""A field has a name, a colon, a value and a separator."""
_LONGEST_NUMBER = 100

Message = dict[str, list[Any]]
"""Field -> all its values, in order."""


class ParseError(ValueError):
    """A syntax error, with its line."""


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    line: int


def read(text: str, bounds: Bounds = BOUNDS) -> Message:
    """A message with every field as a list of its values; enum values are written `__NAME__`.

    Raises ParseError, also for a text beyond `bounds`, before the message is built.
    """
    return _Reader(text, bounds).message(end=None, depth=0)


class _Reader:
    def __init__(self, text: str, bounds: Bounds) -> None:
        self._tokens = list(_tokens(text, bounds.values))
        self._deepest = bounds.depth
        self._place = 0

    def message(self, end: str | None, depth: int) -> Message:
        if depth > self._deepest:
            raise ParseError(f"line {self._line()}: messages are nested more than {self._deepest} deep")
        fields: Message = {}
        while not self._is_end(end):
            name = self._take("name", "the name of a field")
            values = fields.setdefault(name, [])
            if self._skip(":") and self._skip("["):
                values.extend(self._list(depth))
            else:
                values.append(self._value(depth, after_colon=self._before(":")))
            if not self._skip(","):
                self._skip(";")
        return fields

    def _is_end(self, end: str | None) -> bool:
        if end is not None:
            if self._place >= len(self._tokens):
                raise ParseError(f"line {self._line()}: a message is not closed; {end!r} is missing")
            return self._skip(end)
        return self._place >= len(self._tokens)

    def _list(self, depth: int) -> list[Any]:
        values: list[Any] = []
        while not self._skip("]"):
            values.append(self._value(depth, after_colon=True))
            if not self._skip(","):
                self._expect("]")
                break
        return values

    def _value(self, depth: int, *, after_colon: bool) -> Any:
        for opening, closing in _CLOSING.items():
            if self._skip(opening):
                return self.message(closing, depth + 1)
        if not after_colon:
            raise ParseError(f"line {self._line()}: expected ':' or '{{' after a field's name, not {self._shown()}")
        token = self._next("a value")
        if token.kind == "string":
            return self._string(token)
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            return _word(token)
        raise ParseError(f"line {token.line}: expected a value, not {token.text!r}")

    def _string(self, first: _Token) -> str:
        """String literals that follow each other are one string."""
        parts = [_unquoted(first)]
        while self._place < len(self._tokens) and self._tokens[self._place].kind == "string":
            parts.append(_unquoted(self._next("a string")))
        return "".join(parts)

    def _skip(self, sign: str) -> bool:
        found = self._place < len(self._tokens) and self._tokens[self._place].text == sign
        found = found and self._tokens[self._place].kind == "sign"
        self._place += found
        return found

    def _before(self, sign: str) -> bool:
        return self._tokens[self._place - 1].text == sign

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise ParseError(f"line {self._line()}: expected {sign!r}, not {self._shown()}")

    def _take(self, kind: str, what: str) -> str:
        token = self._next(what)
        if token.kind != kind or token.text.startswith("-"):
            raise ParseError(f"line {token.line}: expected {what}, not {token.text!r}")
        return token.text

    def _next(self, what: str) -> _Token:
        if self._place >= len(self._tokens):
            raise ParseError(f"line {self._line()}: expected {what}, and the text ends")
        self._place += 1
        return self._tokens[self._place - 1]

    def _line(self) -> int:
        if not self._tokens:
            return 1
        return self._tokens[min(self._place, len(self._tokens) - 1)].line

    def _shown(self) -> str:
        return repr(self._tokens[self._place].text) if self._place < len(self._tokens) else "the end of the text"


def _tokens(text: str, values: int) -> Iterator[_Token]:
    place, line, count = 0, 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ParseError(f"line {line}: {text[place : place + 20].splitlines()[0]!r} is not protobuf text")
        if match.lastgroup != "space":
            count += 1
            if count > values * _TOKENS_OF_A_VALUE:
                raise ParseError(f"line {line}: it holds more than {values} values")
            yield _Token(str(match.lastgroup), match.group(), line)
        line += match.group().count("\n")
        place = match.end()


def _unquoted(token: _Token) -> str:
    """Octal and hex escapes are bytes of UTF-8."""
    out = bytearray()
    place, inner = 0, token.text[1:-1]
    for escape in _ESCAPE.finditer(inner):
        out += inner[place : escape.start()].encode()
        place = escape.end()
        if escape["letter"] is not None:
            out += _LETTERS.get(escape["letter"], escape["letter"]).encode()
        else:
            out.append(int(escape["hex"] or escape["octal"], 16 if escape["hex"] else 8) & 0xFF)
    out += inner[place:].encode()
    try:
        unquoted = out.decode()
    except UnicodeDecodeError as error:
        raise ParseError(f"line {token.line}: {token.text:.80} is not UTF-8") from error
    if "\0" in unquoted:
        raise ParseError(f"line {token.line}: the text holds the control character U+0000")
    return unquoted


def _number(token: _Token) -> int | float:
    text = token.text
    if len(text) > _LONGEST_NUMBER:
        raise ParseError(f"line {token.line}: {text:.20}… of {len(text)} characters is too long for a number")
    if text.lstrip("+-").lower().startswith("0x"):
        number = int(text, 16)
    elif re.fullmatch(r"[-+]?\d+", text):
        octal = re.fullmatch(r"[-+]?0[0-7]+", text)
        number = int(text, 8) if octal else int(text)
    else:
        return float(text.rstrip("fF"))
    if not -LARGEST < number < LARGEST:
        raise ParseError(f"line {token.line}: {text:.40} is outside ±2^63")
    return number


def _word(token: _Token) -> Any:
    if token.text in _WORDS:
        return _WORDS[token.text]
    bare = token.text.lstrip("-").lower()
    if bare in _FLOATS:
        return -_FLOATS[bare] if token.text.startswith("-") else _FLOATS[bare]
    if token.text.startswith("-"):
        raise ParseError(f"line {token.line}: {token.text!r} is not a value")
    return f"__{token.text}__"
