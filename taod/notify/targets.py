"""The targets of notifications: which notifications they get, where they are, and what of that may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from taod import plain_file
from taod.config import NotifyTargetConfig
from taod.errors import ConfigError
from taod.masking import MASK
from taod.types.notification import NotifyEvent

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)


def wanted(
    targets: Iterable[NotifyTargetConfig], event: NotifyEvent, *, user: str | None = None, network: str | None = None
) -> list[str]:
    """Names of the targets that get an event; without a user and a network only the kind of event decides."""
    return [
        target.name
        for target in targets
        if event in target.events
        and (user is None or not target.users or user in target.users)
        and (network is None or not target.networks or any(fnmatchcase(network, each) for each in target.networks))
    ]


def address(target: NotifyTargetConfig, environ: Mapping[str, str] = os.environ) -> str | list[str]:
    """The words of a command, or the URL from its source. Raises ConfigError if it is not there; never names it."""
    if target.command:
        return [str(Path(target.command[0]).expanduser()), *target.command[1:]]
    field, written = ("webhook", target.webhook) if target.webhook else ("apprise", target.apprise)
    found = written
    if written.startswith("$"):
        if not (found := environ.get(written[1:], "").strip()):
            raise ConfigError(
                f"notify.target {target.name!r}: {field} = {written!r}: the daemon has no such variable; "
                "set it, and restart the daemon"
            )
    elif written.startswith(("~", "/")):
        try:
            found = plain_file.read(Path(written).expanduser()).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"notify.target {target.name!r}: {field} = {written!r} cannot be read: {why}") from None
    if _SCHEME.match(found) is None:
        raise ConfigError(f"notify.target {target.name!r}: {field} = {written!r} does not hold a URL; write one there")
    return found


def shown(target: NotifyTargetConfig) -> str:
    """Its address without anything secret: tokens are anywhere in a URL, of a service also in place of the host."""
    if target.command:
        return target.command[0] + (f" {MASK}" if len(target.command) > 1 else "")
    written = target.webhook or target.apprise
    if (scheme := _SCHEME.match(written)) is None:
        return written  # where the URL is, not the URL
    if not target.webhook:
        return f"{scheme[0]}://{MASK}"
    try:
        parts = urlsplit(written)
        host = f"{parts.hostname or MASK}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return f"{scheme[0]}://{MASK}"
    return f"{scheme[0]}://{host}/{MASK}"


def masked(target: NotifyTargetConfig) -> dict[str, object]:
    """Its addresses as `taod config` prints them."""
    if target.command:
        return {"command": [target.command[0], *[MASK] * len(target.command[1:])]}
    return {"webhook" if target.webhook else "apprise": shown(target)}
