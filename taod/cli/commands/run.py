"""`run` of models and datasets: submit actions as one chain, and optionally follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Form, Output, print_json, short, warn, with_output
from taod.cli.support.resolve import job_id, owner_id
from taod.types.common import OwnerKind
from taod.types.job import JobRun
from taod.types.state import State
from taod.types.warning_text import text

if TYPE_CHECKING:
    from taod.client import AsyncClient


def run_command(kind: OwnerKind) -> click.Command:
    """The `run` command of a `model` or a `dataset`."""

    @click.command("run")
    @click.argument("owner", metavar=kind.upper())
    @click.argument("actions", metavar="ACTION...", nargs=-1, required=True)
    @click.option(
        "--parent", metavar="JOB", help="Parent job of the first action; default: chosen by the action's rule."
    )
    @click.option("--runner", metavar="NAME", help="Runner for all actions; only for the root's first user.")
    @click.option(
        "-f", "--follow", is_flag=True, help="Show progress until all have ended; exit 1 unless all are done."
    )
    @with_client
    @with_output
    async def run(
        client: AsyncClient,
        out: Output,
        owner: str,
        actions: tuple[str, ...],
        parent: str | None,
        runner: str | None,
        follow: bool,
    ) -> None:
        """Run actions as a chain, each on the results of an earlier one. Prints the id of each job."""
        whole_id = await owner_id(client, kind, owner)
        parent_id = await job_id(client, parent) if parent else None
        ids = await client.jobs.run(kind, whole_id, JobRun(actions=list(actions), job=parent_id, runner=runner))
        if out.form is Form.JSON:
            print_json(ids)
        elif out.form is Form.IDS:
            out.ids(ids)
        else:
            for action, id in zip(actions, ids, strict=True):
                out.print_sentence(f"{action} {id}")
                for warning in (await client.jobs.get(id)).warnings:
                    warn(f"warning: {action}: {text(warning)}")
        if follow:
            await _follow(client, out, ids)

    return run


async def _follow(client: AsyncClient, out: Output, ids: list[str]) -> None:
    from taod.cli.support.progress import watch

    failed = [view for id in ids if (view := await watch(client, id, out.aside)).state is not State.DONE]
    if failed:
        first = failed[0]
        out.aside.print(f"`taod job log {short(first.id)}` shows the log of {first.action}.", style="dim", markup=False)
        raise SystemExit(1)
