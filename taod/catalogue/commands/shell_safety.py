"""Command line words that NVIDIA's entry points cannot take: they pass their command line to a shell unquoted. Pure.

Source: the code of PyTorch and data services 5.0, TF1, TF2 5.3 and deploy 5.1:
`subprocess.check_call(" ".join(…), shell=True)` (PyTorch, data services),
`bash -c '…'` (TF1, TF2, deploy). A `;` in a value starts a command of its own, and a space ends the value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from taod.masking import is_secret

UNSAFE = re.compile(r"""[\s|&;<>()$`\\"'*?\[\]{}~#\x00-\x1f\x7f]""")
"""Characters with a meaning for a shell, inside a word or at its start."""
SAFE = "letters, digits and @%+=:,./_^!-"
WITHOUT_SHELL = frozenset({"trtexec"})
"""Programs that are not entry points of NVIDIA's Python tools."""


def unsafe_character(text: str) -> str:
    """The first character with a meaning for a shell, as shown to users; empty where there is none."""
    match = UNSAFE.search(text)
    if match is None:
        return ""
    return "a space" if match[0] == " " else repr(match[0])


def fault(argv: Sequence[str], root: str) -> str:
    """Why a tool cannot take this command line, and the remedy; empty where it can. `root`: the daemon's root."""
    if not argv or argv[0] in WITHOUT_SHELL:
        return ""
    for word in argv:
        if not unsafe_character(word):
            continue
        option, equals, value = word.partition("=")
        if is_secret(word):
            return key_fault(value, argv[0])
        if unsafe_character(root) and root in word:
            return (
                f"the root {root!r} contains {unsafe_character(root)}, and {_WHY.format(argv[0])}; "
                "start the daemon with a --root without it, or use the embedded runner"
            )
        name, text = (option.lstrip("-"), value) if equals else ("a word of the command line", word)
        return (
            f"{name} = {text!r} contains {unsafe_character(text)}, and {_WHY.format(argv[0])}; "
            "change it, or link or upload the data under a path without it"
        )
    return ""


def key_fault(key: str, program: str) -> str:
    """Why a key cannot be passed on a command line, without showing it; empty where it can."""
    if not unsafe_character(key):
        return ""
    return (
        f"encryption_key contains {unsafe_character(key)}, and {_WHY.format(program)}; "
        f"set a key of {SAFE} only (for weights encrypted with this one, encrypt them again)"
    )


_WHY = "the entry point of {} passes its command line to a shell unquoted"
