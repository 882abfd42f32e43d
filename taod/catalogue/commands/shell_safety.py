"""Words that NVIDIA's entry points cannot take: they join their command line and give it to a shell unquoted. Pure.

Read in the sources of PyTorch and data services 5.0, TF1, TF2 5.3 and deploy 5.1:
`subprocess.check_call(" ".join(…), shell=True)` (PyTorch, data services),
`bash -c '…'` (TF1, TF2, deploy). A `;` in a value starts a command of its own, and a space ends the value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from taod.masking import is_secret

UNSAFE = re.compile(r"""[\s|&;<>()$`\\"'*?\[\]{}~#\x00-\x1f\x7f]""")
"""What a shell reads as more than itself, in the middle of a word or at its beginning."""
SAFE = "letters, digits and @%+=:,./_^!-"
WITHOUT_SHELL = frozenset({"trtexec"})
"""Programs that are no entry point of NVIDIA's Python tools."""


def found(text: str) -> str:
    """The first character that a shell would read, as it is shown to people; empty where there is none."""
    match = UNSAFE.search(text)
    if match is None:
        return ""
    return "a space" if match[0] == " " else repr(match[0])


def refusal(argv: Sequence[str], root: str) -> str:
    """Why the tool cannot be given this command line, and what to change; empty where it can. `root`: the daemon's."""
    if not argv or argv[0] in WITHOUT_SHELL:
        return ""
    for word in argv:
        if not found(word):
            continue
        option, equals, value = word.partition("=")
        if is_secret(word):
            return key_refusal(value, argv[0])
        if found(root) and root in word:
            return (
                f"the root {root!r} contains {found(root)}, and {_WHY.format(argv[0])}; "
                "start the daemon with a --root without it, or use the embedded runner"
            )
        name, text = (option.lstrip("-"), value) if equals else ("a word of the command line", word)
        return (
            f"{name} = {text!r} contains {found(text)}, and {_WHY.format(argv[0])}; "
            "change it, or link or upload the data under a path without it"
        )
    return ""


def key_refusal(key: str, program: str) -> str:
    """Why a key cannot be used with a tool that takes it on its command line; it is not shown. Empty where it can."""
    if not found(key):
        return ""
    return (
        f"encryption_key contains {found(key)}, and {_WHY.format(program)}; "
        f"set a key of {SAFE} only (for weights encrypted with this one, encrypt them again)"
    )


_WHY = "the entry point of {} passes its command line to a shell unquoted"
