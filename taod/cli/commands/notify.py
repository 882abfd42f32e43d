"""`taod notify`: the targets of notifications, what is not delivered, and test messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Columns, Form, Output, moment, print_json, with_output
from taod.types.notification import NotifyDelivery, NotifyTarget, NotifyTestResult

if TYPE_CHECKING:
    from taod.client import AsyncClient

TARGETS: Columns[NotifyTarget] = {
    "target": lambda target: target.name,
    "kind": lambda target: target.kind,
    "address": lambda target: target.address,
    "events": lambda target: ", ".join(target.events),
    "users": lambda target: ", ".join(target.users),
    "networks": lambda target: ", ".join(target.networks),
    "last delivered": lambda target: moment(target.delivered_on),
    "undelivered": lambda target: str(target.undelivered or ""),
    "given up": lambda target: str(target.failed or ""),
    "error": lambda target: target.error,
}
UNDELIVERED: Columns[NotifyDelivery] = {
    "undelivered": lambda each: each.subject,
    "target": lambda each: each.target,
    "event": lambda each: each.event,
    "since": lambda each: moment(each.created_on),
    "state": lambda each: each.state,
    "attempts": lambda each: str(each.attempts),
}
RESULTS: Columns[NotifyTestResult] = {
    "target": lambda result: result.target,
    "delivered": lambda result: "yes" if result.delivered else "no",
    "error": lambda result: result.error,
}


@click.group()
def notify() -> None:
    """Notifications of ended, stalled and lost jobs, a full disk and new best trials."""


@notify.command("ls")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output) -> None:
    """List the configured targets, and the notifications that they do not have."""
    state = await client.notifications.state()
    if out.form is Form.JSON:
        print_json(state)
    elif out.form is Form.IDS:
        out.ids(target.name for target in state.targets)
    else:
        out.table(state.targets, TARGETS)
        if state.undelivered:
            out.console.print()
            out.table(state.undelivered, UNDELIVERED)


@notify.command("test")
@click.argument("target", required=False)
@with_client
@with_output
async def test(client: AsyncClient, out: Output, target: str | None) -> None:
    """Send a test message to TARGET, or to all targets. Exit 1 if one was not delivered."""
    results = await client.notifications.test(target)
    if out.form is Form.JSON:
        print_json(results)
    elif out.form is Form.IDS:
        out.ids(result.target for result in results if result.delivered)
    else:
        out.table(results, RESULTS)
    raise SystemExit(0 if all(result.delivered for result in results) else 1)
