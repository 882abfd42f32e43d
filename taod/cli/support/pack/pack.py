"""Collects the files of a pack and writes them into one zip file."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import rich_click as click

from taod import documents, installed, masking
from taod.cli.support.pack import onnx_file, triton
from taod.cli.support.pack.card import Source, card
from taod.cli.support.pack.description import Description, describe
from taod.client import AsyncClient
from taod.client.files import Received
from taod.types.job import Artifact, Job, JobDetail
from taod.types.model import Model
from taod.types.state import Status

SUFFIXES = (".onnx", ".engine", ".trt", ".plan", ".etlt")
"""Files that a pack is made for; an ONNX file is preferred."""


class Packed(msgspec.Struct, frozen=True):
    """A written pack."""

    path: str
    size_bytes: int
    model: str
    """The model's file in it."""
    runnable: bool
    """Whether it has a script that runs the model."""
    jobs: list[str]


async def export_of(client: AsyncClient, model: Model, job_id: str | None) -> tuple[str, Artifact]:
    """The job to pack, by default the newest finished export with a model file, and that file. Raises UsageError."""
    done = [job for job in model.jobs if job.status is Status.DONE and job.action in ("export", "gen_trt_engine")]
    chosen = [job_id] if job_id else [job.id for job in sorted(done, key=lambda job: job.created_on, reverse=True)]
    for id in chosen:
        files = [file for file in await client.files.list(id) if file.path.endswith(SUFFIXES)]
        if files:
            return id, min(files, key=lambda file: SUFFIXES.index(Path(file.path).suffix))
    endings = ", ".join(SUFFIXES)
    if job_id:
        raise click.UsageError(f"job {job_id} has no file that ends in {endings}; name an export with --job")
    raise click.UsageError(f"no export of model {model.name} is done; `taod model run {model.id} export` makes one")


async def source_of(client: AsyncClient, model: Model, job_id: str) -> Source:
    """The job with the trainings that it comes from, and the finished evaluations of the last of them."""
    by_id: dict[str, Job] = {job.id: job for job in model.jobs}
    line: list[JobDetail] = []
    at: str | None = job_id
    while at is not None and at in by_id:
        line.insert(0, await client.jobs.get(at))
        at = by_id[at].parent_id
    trained = {detail.job.id for detail in line}
    newest = line[-2].job.id if len(line) > 1 else None
    evaluations = [
        await client.jobs.get(job.id)
        for job in model.jobs
        if job.action == "evaluate" and job.status is Status.DONE and job.parent_id in trained
    ]
    return Source(model, line, [each for each in evaluations if each.job.parent_id in (newest, job_id)])


async def write(
    client: AsyncClient, model: Model, job_id: str, file: Artifact, target: Path, *, with_triton: bool, report: Received
) -> Packed:
    """Write the pack; it appears under its name when it is complete. Raises ClientError, UsageError and OSError."""
    source = await source_of(client, model, job_id)
    name = f"model{Path(file.path).suffix}"
    with tempfile.TemporaryDirectory(prefix="taod-pack-") as folder:
        weights = await client.files.download(job_id, file.path, Path(folder) / name, report)
        return await asyncio.to_thread(write_files, source, weights, target, with_triton=with_triton)


def write_files(source: Source, weights: Path, target: Path, *, with_triton: bool) -> Packed:
    about, graph = _described(source, weights)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    texts = {"MODEL_CARD.md": card(source, about, now, version("taod"))}
    for detail in source.line:
        if detail.spec is not None:
            named = f"specs/{detail.job.action}-{detail.job.id}.yaml"
            texts[named] = documents.write_yaml(_without_secrets(detail.spec))
    if about is not None:
        texts["model.json"] = msgspec.json.format(msgspec.json.encode(about)).decode() + "\n"
        if about.classes:
            texts["labels.txt"] = "".join(f"{name}\n" for name in about.classes)
        if about.runnable:
            texts["run_model.py"] = Path(__file__).with_name("run_model.py").read_text(encoding="utf-8")
            texts["requirements.txt"] = "numpy\npillow\nonnxruntime\n"
    files: dict[str, Path] = {weights.name: weights}
    if with_triton:
        if graph is None:
            raise click.UsageError(f"--triton describes ONNX models; this one is a {weights.suffix} file")
        repository = f"triton/{source.model.network_arch}"
        texts[f"{repository}/config.pbtxt"] = triton.config(source.model.network_arch, graph)
        files[f"{repository}/1/model.onnx"] = weights
    _zip(target, texts, files)
    runnable = about is not None and about.runnable
    jobs = [detail.job.id for detail in source.line]
    return Packed(str(target), target.stat().st_size, weights.name, runnable, jobs)


def _described(source: Source, weights: Path) -> tuple[Description | None, onnx_file.OnnxFile | None]:
    if weights.suffix != ".onnx":
        return None, None
    try:
        graph = onnx_file.read(weights)
    except ImportError:
        raise click.UsageError(f"Reading an ONNX file needs the package onnx: {installed.add('engine')}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    model = source.model
    classes = _classes(source)
    about = describe(
        graph,
        name=model.name,
        network=model.network_arch,
        release=model.release,
        path=weights.name,
        classes=classes,
    )
    return about, graph


def _classes(source: Source) -> list[str]:
    """Names of the classes in the newest evaluation, where the file itself has none."""
    for detail in reversed(source.evaluations):
        for each in detail.job.result.categorical:
            return [value.category for value in each.category_wise_values]
    return []


def _without_secrets(spec: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in spec.items():
        if not masking.is_secret_name(key):
            kept[key] = _without_secrets(value) if isinstance(value, Mapping) else value
    return kept


def _zip(target: Path, texts: Mapping[str, str], files: Mapping[str, Path]) -> None:
    aside = target.with_name(f".{target.name}.part")
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    for name, path in files.items():
        with path.open("rb") as content:
            sums[name] = hashlib.file_digest(content, "sha256").hexdigest()
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in [*texts.items(), ("SHA256SUMS", listed)]:
                archive.writestr(name, text)
            for name, path in files.items():
                archive.write(path, name)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
