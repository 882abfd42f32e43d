"""`taod job plan`: the commands that a request for jobs would run, without creating any."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Output, with_output
from taod.cli.support.resolve import job_id, owner_id
from taod.types.common import DATASET, MODEL, OwnerKind
from taod.types.job import JobRun
from taod.types.plan import PlannedJob
from taod.types.tool import tool_of
from taod.types.warning_text import text

if TYPE_CHECKING:
    from taod.client import AsyncClient


@click.command("plan")
@click.argument("owner", metavar="MODEL")
@click.argument("actions", metavar="ACTION...", nargs=-1, required=True)
@click.option("--dataset", is_flag=True, help="MODEL is a dataset: plan its own actions.")
@click.option("--parent", metavar="JOB", help="Parent job of the first action; default: chosen by the action's rule.")
@click.option("--spec/--no-spec", default=True, show_default=True, help="Show the complete specification files.")
@with_client
@with_output
async def plan(
    client: AsyncClient,
    out: Output,
    owner: str,
    actions: tuple[str, ...],
    dataset: bool,
    parent: str | None,
    spec: bool,
) -> None:
    """Show the command line, environment and specification file of each action; secrets are masked."""
    kind: OwnerKind = DATASET if dataset else MODEL
    whole_id = await owner_id(client, kind, owner)
    parent_id = await job_id(client, parent) if parent else None
    jobs = await client.jobs.plan(kind, whole_id, JobRun(actions=list(actions), job=parent_id))
    if out.form is out.form.TABLE:
        for job in jobs:
            _show(out, job, with_spec=spec)
    else:
        out.listing(jobs, {})


def _show(out: Output, job: PlannedJob, *, with_spec: bool) -> None:
    on = f" on {job.parent_id}" if job.parent_id else ""
    out.console.print(f"{job.id}: {job.network} {job.action}{on}", style="bold", markup=False, highlight=False)
    out.pairs(
        (
            ("command", shlex.join(job.argv)),
            ("executes", shlex.join(job.executes)),
            ("runner", job.runner or "none"),
            ("release", job.release),
            ("tool", tool_of(job.environment)),
            ("image", job.image),
            ("devices", str(job.devices_wanted)),
            ("environment", "\n".join(f"{name}={value}" for name, value in job.environment.items())),
            ("reads", "\n".join(job.reads)),
            ("filled in later", "\n".join(job.later)),
            ("waits for", job.waits_for or ""),
            ("warnings", "\n".join(map(text, job.warnings))),
            ("spec file", job.spec_path or ""),
        )
    )
    out.print_sentence("")
    if with_spec and job.spec_text is not None:
        out.print_sentence(job.spec_text)
