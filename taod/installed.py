"""How taod was installed, and so how an extra is added to it: the one source of such hints in messages."""

from __future__ import annotations

import shlex
import shutil
import sys
import tomllib
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from taod.program import FROZEN

NAME = "taod"
USE_IT = "and use its taod"


class Way(StrEnum):
    """Ways to install taod."""

    PIP = "pip"
    UV = "uv tool"
    PIPX = "pipx"
    EXECUTABLE = "executable"


class _Folder(msgspec.Struct):
    editable: bool = False


class _Repository(msgspec.Struct):
    vcs: str = ""


class _Origin(msgspec.Struct):
    """`direct_url.json` of an installed distribution (PEP 610)."""

    url: str = ""
    dir_info: _Folder = msgspec.field(default_factory=_Folder)
    vcs_info: _Repository = msgspec.field(default_factory=_Repository)


class _Package(msgspec.Struct):
    package_or_url: str = ""


class _Pipx(msgspec.Struct):
    """`pipx_metadata.json` of an environment."""

    main_package: _Package = msgspec.field(default_factory=_Package)


def way(prefix: Path | None = None) -> Way:
    """How the taod in an environment was installed; by default this one."""
    if FROZEN:
        return Way.EXECUTABLE
    prefix = prefix or Path(sys.prefix)
    if (prefix / "uv-receipt.toml").is_file():
        return Way.UV
    return Way.PIPX if (prefix / "pipx_metadata.json").is_file() else Way.PIP


def add(extra: str, *, then: str = USE_IT) -> str:
    """The command that adds an extra. `then`: how another environment's taod is used, for the executable, which
    cannot be added to."""
    known = {extra}
    match way():
        case Way.EXECUTABLE:
            return f"install 'taod[{extra}]' in a Python environment {then}"
        case Way.UV:
            return f"uv tool install {_requirement(known | _extras_of_uv(Path(sys.prefix)))}"
        case Way.PIPX:
            return f"pipx install --force {_requirement(known | _extras_of_pipx(Path(sys.prefix)))}"
        case Way.PIP:
            return f"{_pip_install()} {_requirement(known)}"


def _pip_install() -> str:
    """`pip install` for this environment: the shortest words that mean it."""
    own = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {own}"
    found = shutil.which("pip")
    return "pip install" if found and Path(found).parent == Path(sys.executable).parent else f"{own} -m pip install"


def _requirement(extras: set[str]) -> str:
    """taod with these extras, from where it was installed."""
    wanted = f"[{','.join(sorted(extras))}]"
    url, editable = _origin()
    parts = urlsplit(url)
    if not url:
        return f"'{NAME}{wanted}'"
    if parts.scheme != "file":
        return f"'{NAME}{wanted} @ {url}'"
    path = unquote(parts.path)
    if not Path(path).exists():
        return f"'{NAME}{wanted}'"
    return ("-e " if editable else "") + shlex.quote(f"{path}{wanted}")


def _origin() -> tuple[str, bool]:
    """The URL that taod was installed from, and whether it is editable; an empty URL: the package index."""
    try:
        text = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return "", False
    found = msgspec.json.decode(text or "{}", type=_Origin)
    return "+".join(filter(None, [found.vcs_info.vcs, found.url])), found.dir_info.editable


def _extras_of_uv(prefix: Path) -> set[str]:
    """The extras that `uv tool` has installed: it replaces them by those of the next command."""
    try:
        receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text(encoding="utf-8"))
        needed = receipt["tool"]["requirements"]
    except (OSError, ValueError, KeyError):
        return set()
    return {extra for each in needed if each.get("name") == NAME for extra in each.get("extras", [])}


def _extras_of_pipx(prefix: Path) -> set[str]:
    """The extras that pipx has installed, which it replaces, too."""
    try:
        found = msgspec.json.decode((prefix / "pipx_metadata.json").read_bytes(), type=_Pipx)
    except (OSError, msgspec.DecodeError):
        return set()
    inside = found.main_package.package_or_url.partition("[")[2].partition("]")[0]
    return {extra.strip() for extra in inside.split(",")} if inside else set()
