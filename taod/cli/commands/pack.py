"""`taod model pack`: an exported model in one zip file, to run it without taod."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Output, size, target_file, with_output
from taod.cli.support.resolve import job_id, model_id

if TYPE_CHECKING:
    from taod.client import AsyncClient


@click.command("pack")
@click.argument("model_", metavar="MODEL")
@click.option("--job", "job_", metavar="JOB", help="The export to pack; default: the newest finished one.")
@click.option("--triton", is_flag=True, help="Add a model repository for NVIDIA's Triton Inference Server.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@with_client
@with_output
async def pack(
    client: AsyncClient, out: Output, model_: str, job_: str | None, triton: bool, output: Path | None, force: bool
) -> None:
    """Write a zip file with an exported model, its labels, a model card, how to prepare images and read outputs
    (model.json), and a script that runs it with onnxruntime.

    Unpack it anywhere: `pip install -r requirements.txt`, then `python run_model.py IMAGE...`.
    """
    from taod.cli.support.pack.pack import export_of, write
    from taod.cli.support.progress import transfer

    model = await client.models.get(await model_id(client, model_))
    export, file = await export_of(client, model, await job_id(client, job_) if job_ else None)
    into = target_file(output, f"{model.network_arch}-{export[:8]}.zip", force)
    with transfer(f"download {Path(file.path).name}", out.aside) as report:
        packed = await write(client, model, export, file, into, with_triton=triton, report=report)
    how = "run_model.py in it runs the model." if packed.runnable else "It has no script: MODEL_CARD.md says why."
    out.changed(packed, f"Wrote {into} ({size(packed.size_bytes)}). {how}", id=export)
