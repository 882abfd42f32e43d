"""Masks secrets in texts. A value is masked by its position (an option, a variable, a field), not by its text: a key
`k` does not mask the letter k in other places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"
_NAME = r"(?:\w+\.)*(?:enc(?:ryption)?_key|key)"
"""Names of the encryption key in the tools: option, override and field of a specification."""
_OPTION = re.compile(rf"((?:--)?{_NAME}=).+", re.DOTALL)
_SECRET_NAME = re.compile(_NAME)
_FLAG = re.compile(rf"-k|--{_NAME}")
_VARIABLE = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_NAMED = rf"(?<!\w)(?:-k|(?:--)?{_NAME})['\"]?(?:\s*[=:]\s*|\s+)['\"]?"


def argv(words: Iterable[str]) -> list[str]:
    """A command line with the values of its secret options masked: `--key=…`, `-k …`, `encryption_key=…`."""
    shown: list[str] = []
    before = ""
    flag = False
    for word in words:
        if before == "-c":
            # a shell's command line: several command lines of the tool, joined
            word = re.sub(rf"({_NAMED})\S+", rf"\1{MASK}", word)
        before = word
        shown.append(MASK if flag else _OPTION.sub(rf"\1{MASK}", word, count=1) if is_secret(word) else word)
        flag = not flag and _FLAG.fullmatch(word) is not None
    return shown


def is_secret(word: str) -> bool:
    """Whether a word of a command line is an option with a secret value."""
    return _OPTION.fullmatch(word) is not None


def is_secret_name(name: str) -> bool:
    """Whether a field of a specification holds the encryption key."""
    return _SECRET_NAME.fullmatch(name) is not None


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """An environment with the values of variables named `…KEY`, `…TOKEN`, `…SECRET`, `…PASSWORD` masked."""
    return {name: MASK if value and _VARIABLE.search(name) else value for name, value in values.items()}


def log(text: str, secrets: Iterable[str]) -> str:
    """Lines of a log with each secret masked where it follows its name: `--key SECRET`, `encryption_key: SECRET`."""
    for secret in filter(None, secrets):
        text = re.sub(rf"({_NAMED}){re.escape(secret)}(?!\w)", rf"\1{MASK}", text)
    return text


def values(text: str, secrets: Iterable[str]) -> str:
    """A text with these secrets masked anywhere: only for long random values, not for keys chosen by a user."""
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return text
