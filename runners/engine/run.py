"""Runs one action: status lines around it, errors to one sentence, signals to exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import msgspec

from runners.engine import capabilities, cli, spec
from runners.engine.errors import EngineError, Interrupted, SpecError
from runners.engine.status import StatusWriter
from taod.documents import Document

log = logging.getLogger("engine")


class Run(msgspec.Struct, frozen=True):
    """What an action is given."""

    network: str
    action: str
    document: Document
    """The experiment spec."""
    results: Path
    status: StatusWriter
    gpus: int | None
    """GPUs asked for on the command line or by NUM_GPU_PER_NODE."""


def main(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n."""
    arguments = cli.parse(argv)
    _start_log()
    document, trouble = _document(arguments)
    # The command lines of some actions (confmat) name no folder: taod says which one is the job's.
    results = arguments.results or _path(document.get("results_dir")) or _path(os.environ.get("TAOD_JOB_RESULTS"))
    if results is None:
        print(f"No results folder: give -r, or results_dir in the spec. {trouble or ''}".rstrip(), file=sys.stderr)
        return 2
    status = StatusWriter(results / "status.json" if _rank() == 0 else Path(os.devnull))
    try:
        status.started(f"Starting {arguments.network} {arguments.action}")
        if trouble is not None:
            return _fail(status, str(trouble))
        run = Run(arguments.network, arguments.action, document, results, status, arguments.gpus)
        return _act(run)
    finally:
        status.close()


def _document(arguments: cli.Arguments) -> tuple[Document, SpecError | None]:
    """What the run is asked to do, and what is wrong with it."""
    try:
        found: Document = {}
        if arguments.spec is not None:
            found = spec.read(arguments.spec, arguments.overrides, arguments.network, arguments.action)
        return spec.with_options(found, arguments.options), None
    except SpecError as error:
        return {}, error


def _rank() -> int:
    """The number of this process among those of a training; only the first one reports."""
    return int(os.environ.get("RANK", "0"))


def _act(run: Run) -> int:
    """The action itself: its module is imported here, after everything that needs no torch was checked."""
    try:
        able, reason, remedy = capabilities.can(run.network, run.action, run.document)
        if not able:
            return _fail(run.status, f"{reason} {remedy}")
        for sentence in capabilities.warnings(run.network, run.action, run.document):
            log.warning("%s", sentence)
        _settle_environment()
        message = _action(run)
    except Interrupted as stop:
        log.info("%s", stop)
        run.status.running(str(stop))
        return stop.exit_code
    except EngineError as error:
        return _fail(run.status, str(error))
    except Exception as error:
        log.exception("The run failed")
        return _fail(run.status, _sentence(error))
    log.info("%s", message)
    run.status.success(message)
    return 0


def _action(run: Run) -> str:
    """The closing sentence of the action, whose module is imported now."""
    if run.network in capabilities.WITHOUT_TORCH:
        message: str = import_module(capabilities.module(run.network, run.action)).run(run)
        return message
    from runners.engine.core import actions

    return actions.run(run)


def _settle_environment() -> None:
    """What libraries read when they load: nothing from the network, and threads that sleep while they wait.

    OpenMP's threads spin by default, which on a workstation whose cores are shared made an epoch 5 to 7 times longer
    (2 threads on 2 cores, load 5: 26-35 s against 4-7 s).
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _fail(status: StatusWriter, message: str) -> int:
    log.error("%s", message)
    status.failure(message)
    return 1


def _sentence(error: Exception) -> str:
    """One line for an unexpected error."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    name = type(error).__name__
    if name == "OutOfMemoryError":
        return f"The GPU's memory is not enough: {first} Lower the batch size or the input size."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{name}: {first}" if first else name


def _path(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) and value else None


def _start_log() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO if _rank() == 0 else logging.ERROR)
