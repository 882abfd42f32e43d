"""Gathers facts about a job's data for the rules of `taod.catalogue.preflight`.

Sources are the store, the last check's report and a bounded listing of files, because a POST waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from store import Store
from store.records import DatasetRecord, JobFilter
from taod.catalogue import preflight
from taod.catalogue.commands.assemble import complete
from taod.catalogue.commands.conversions import is_conversion
from taod.catalogue.commands.sources.detection import INDEXING, has_index_files
from taod.catalogue.preflight import Missing, PreflightFacts, Unreadable
from taod.errors import BadRequest
from taod.scheduler.resolved_job import ResolvedJob
from taod.services.jobs import sample_counts
from taod.services.jobs.command_builder import CommandBuilder
from taod.types.common import JobSort
from taod.types.dataset import CheckState, DatasetReport
from taod.types.state import State
from taod.types.warning import Warning

MAX_PATHS = 200
"""Number of paths of a specification that are checked."""
_GLOB = frozenset("*?[")

Report = Callable[[str, str], DatasetReport]
"""(user id, dataset id) → report of the last check."""


class Preflight:
    """Warnings about jobs before they run."""

    def __init__(self, store: Store, commands: CommandBuilder, report: Report) -> None:
        self._store = store
        self._commands = commands
        self._report = report

    def warnings(self, resolved: ResolvedJob, together: Sequence[ResolvedJob] = ()) -> list[Warning]:
        """The warnings about a job; empty if it cannot be assembled yet, which its start reports.

        `together`: all jobs of the same request.
        """
        job = resolved.job
        gpus = 0 if job.devices_wanted <= 1 else job.devices_wanted
        try:
            facts = self._commands.job_facts(resolved, gpus)
            spec = complete(facts)
        except BadRequest:
            return []
        roots = {self._commands.folder(dataset): dataset for _, dataset in resolved.datasets}
        converted_before = any(each.job is not job and is_conversion(each.job.action) for each in together)
        converting = self._commands.conversions(dataset.id for dataset in roots.values())
        missing = list(_missing(spec, [root for root, each in roots.items() if each.has_data]))
        return preflight.check(
            PreflightFacts(
                job=facts,
                spec=spec,
                missing=missing,
                folders={each.root: _folders(each.root) for each in missing},
                unreadable={root: self._unreadable(each) for root, each in roots.items()},
                converting=frozenset(root for root, each in roots.items() if converted_before or each.id in converting),
                converted_by={root: done for root, each in roots.items() if (done := self._converted_by(each, root))},
                samples=sample_counts.samples(facts, spec),
                identities=sample_counts.identities(facts),
            )
        )

    def _unreadable(self, dataset: DatasetRecord) -> Unreadable:
        report = self._report(dataset.user_id, dataset.id)
        if report.state is not CheckState.DONE:
            return Unreadable(0, "")
        return Unreadable(report.unreadable, next(iter(report.unreadable_first), ""))

    def _converted_by(self, dataset: DatasetRecord, root: Path) -> str | None:
        """Action of the last completed conversion; INDEXING if the files were uploaded with index files."""
        wanted = JobFilter(owner_kind="dataset", owner_id=dataset.id, states=frozenset({State.DONE}))
        jobs, _ = self._store.jobs.list(wanted, JobSort.DATE_DESCENDING)
        done = next((job.action for job in jobs if is_conversion(job.action)), None)
        return done or (INDEXING if has_index_files(root) else None)


def _missing(spec: dict[str, Any], read: list[Path]) -> Iterator[Missing]:
    """The paths of the specification inside the folders `read` that do not exist."""
    checked: dict[str, bool] = {}
    for field, path in _paths(spec):
        root = next((root for root in read if path.startswith(f"{root}/")), None)
        if root is None or (path not in checked and len(checked) >= MAX_PATHS):
            continue
        below = path.removeprefix(f"{root}/")
        if path not in checked:
            checked[path] = _exists(root, below)
        if not checked[path]:
            yield Missing(field, root, below)


def _paths(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """(dotted field, path) of every absolute path in the document."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _paths(below, f"{field}.{name}" if field else str(name))
    elif isinstance(value, list):
        for below in value:
            yield from _paths(below, field)
    elif isinstance(value, str) and value.startswith("/"):
        yield field, value


def _exists(root: Path, path: str) -> bool:
    if _GLOB.isdisjoint(path):
        return (root / path).exists()
    return next(root.glob(path), None) is not None


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
