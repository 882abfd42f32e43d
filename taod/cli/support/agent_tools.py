"""The tools that `taod mcp` offers to an agent: name, arguments, result, and what each does with the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta
from rich.text import Text

from taod.catalogue.schema.merge import merge
from taod.cli.support.resolve import dataset_id, job_id, owner_id
from taod.client import AsyncClient
from taod.client.comparison import Comparison, compare
from taod.client.specs import Document
from taod.terminal import LogText
from taod.types.common import OwnerKind
from taod.types.dataset import Dataset, DatasetReport, DatasetSummary
from taod.types.device import Device
from taod.types.job import JobDetail, JobRun, JobView
from taod.types.leaderboard import Leaderboard
from taod.types.model import Model, ModelCreate
from taod.types.network import NetworkInfo, ParameterInfo
from taod.types.plan import PlannedJob
from taod.types.queue import QueueState
from taod.types.state import State

T = TypeVar("T")
JobRef = Annotated[str, Meta(description="Id of a job, or a unique prefix of one.")]
OwnerRef = Annotated[str, Meta(description="Id or name of a model or dataset.")]
Kind = Annotated[OwnerKind, Meta(description="What owns the specification or the jobs.")]
Size = Annotated[int, Meta(ge=1, le=200, description="Most items to return, the newest first.")]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


class Listing(msgspec.Struct, forbid_unknown_fields=True):
    size: Size = 30


class JobListing(msgspec.Struct, forbid_unknown_fields=True):
    state: list[State] = []
    network: str | None = None
    action: str | None = None
    text: Annotated[str | None, Meta(description="Part of an id, action, network or owner's name.")] = None
    size: Size = 30


class OneDataset(msgspec.Struct, forbid_unknown_fields=True):
    dataset: OwnerRef


class OneJob(msgspec.Struct, forbid_unknown_fields=True):
    job: JobRef


class SomeJobs(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[JobRef], Meta(min_length=2, max_length=20)]


class Ranking(msgspec.Struct, forbid_unknown_fields=True):
    metric: Annotated[str | None, Meta(description="If absent, the main metric of the newest job.")] = None
    network: str | None = None
    dataset: Annotated[OwnerRef | None, Meta(description="Only jobs that read this dataset.")] = None
    action: str | None = None
    size: Annotated[int, Meta(ge=1, le=200, description="Most jobs to return, the best first.")] = 30


class LogTail(msgspec.Struct, forbid_unknown_fields=True):
    job: JobRef
    lines: Annotated[int, Meta(ge=1, le=2000)] = 100


class ActionOf(msgspec.Struct, forbid_unknown_fields=True):
    kind: Kind
    owner: OwnerRef
    action: str


class SpecChange(ActionOf, forbid_unknown_fields=True):
    changes: Annotated[Document, Meta(description="Nested values, merged over the specification.")]


class Actions(msgspec.Struct, forbid_unknown_fields=True):
    kind: Kind
    owner: OwnerRef
    actions: Annotated[list[str], Meta(min_length=1, description="A chain, for example train, evaluate, export.")]
    parent: Annotated[JobRef | None, Meta(description="Parent of the first action; found by rule if absent.")] = None


class OfNetwork(msgspec.Struct, forbid_unknown_fields=True):
    network: str
    action: str | None = None
    text: Annotated[str | None, Meta(description="Part of a parameter's path or description.")] = None
    popular: Annotated[bool, Meta(description="Only the parameters that users change most.")] = True


class DatasetView(msgspec.Struct):
    dataset: Dataset
    summary: DatasetSummary
    report: DatasetReport


class Spec(msgspec.Struct):
    document: Document
    notes: str = ""
    """Warnings about the saved document."""


class LogLines(msgspec.Struct):
    text: str


class Items(msgspec.Struct, Generic[T]):
    """Part of a list, and the length of the whole list."""

    items: list[T]
    total: int


class QueueView(msgspec.Struct):
    state: QueueState
    waiting: Items[JobView]
    """The jobs in queue order, at most 100."""
    devices: list[Device]


class Tool(msgspec.Struct, frozen=True):
    """One tool. `writes`: it changes something on the daemon."""

    name: str
    description: str
    arguments: type[msgspec.Struct]
    result: object
    call: Callable[[AsyncClient, Any], Awaitable[object]]
    writes: bool = False


async def _datasets(client: AsyncClient, given: Listing) -> Items[Dataset]:
    page = await client.datasets.list(size=given.size)
    return Items(page.items, page.total)


async def _dataset(client: AsyncClient, given: OneDataset) -> DatasetView:
    id = await dataset_id(client, given.dataset)
    datasets = client.datasets
    return DatasetView(await datasets.get(id), await datasets.summary(id), await datasets.report(id))


async def _models(client: AsyncClient, given: Listing) -> Items[Model]:
    page = await client.models.list(size=given.size)
    return Items(page.items, page.total)


async def _jobs(client: AsyncClient, given: JobListing) -> Items[JobView]:
    page = await client.jobs.list(
        state=given.state, network=given.network, action=given.action, text=given.text, size=given.size
    )
    return Items(page.items, page.total)


async def _queue(client: AsyncClient, _: Nothing) -> QueueView:
    waiting = await client.queue.list(size=100)
    return QueueView(await client.queue.state(), Items(waiting.items, waiting.total), await client.devices.list())


async def _networks(client: AsyncClient, _: Nothing) -> Items[NetworkInfo]:
    found = await client.networks.list()
    return Items(found, len(found))


async def _parameters(client: AsyncClient, given: OfNetwork) -> Items[ParameterInfo]:
    popular = True if given.popular else None
    found = await client.networks.parameters(given.network, given.action, text=given.text, popular=popular)
    return Items(found, len(found))


async def _spec(client: AsyncClient, given: ActionOf) -> Spec:
    owner = await owner_id(client, given.kind, given.owner)
    return Spec(await client.specs.current(given.kind, owner, given.action))


async def _job(client: AsyncClient, given: OneJob) -> JobDetail:
    return await client.jobs.get(await job_id(client, given.job))


async def _log(client: AsyncClient, given: LogTail) -> LogLines:
    part = await client.logs.tail(await job_id(client, given.job), given.lines)
    return LogLines(Text.from_ansi(LogText().feed(part.data, final=True)).plain)


async def _compare(client: AsyncClient, given: SomeJobs) -> Comparison:
    return compare([await client.jobs.get(await job_id(client, each)) for each in given.jobs])


async def _leaderboard(client: AsyncClient, given: Ranking) -> Leaderboard:
    fields = msgspec.structs.asdict(given)
    if given.dataset is not None:
        fields["dataset"] = await dataset_id(client, given.dataset)
    return await client.jobs.leaderboard(**fields)


async def _plan(client: AsyncClient, given: Actions) -> Items[PlannedJob]:
    owner = await owner_id(client, given.kind, given.owner)
    planned = await client.jobs.plan(given.kind, owner, await _run_of(client, given))
    return Items(planned, len(planned))


async def _create_model(client: AsyncClient, given: ModelCreate) -> Model:
    return await client.models.create(given)


async def _edit_spec(client: AsyncClient, given: SpecChange) -> Spec:
    owner = await owner_id(client, given.kind, given.owner)
    document = merge(await client.specs.current(given.kind, owner, given.action), given.changes)
    return Spec(*await client.specs.save(given.kind, owner, given.action, document))


async def _run(client: AsyncClient, given: Actions) -> Items[str]:
    owner = await owner_id(client, given.kind, given.owner)
    ids = await client.jobs.run(given.kind, owner, await _run_of(client, given))
    return Items(ids, len(ids))


async def _run_of(client: AsyncClient, given: Actions) -> JobRun:
    return JobRun(given.actions, job=await job_id(client, given.parent) if given.parent else None)


async def _cancel(client: AsyncClient, given: OneJob) -> JobView:
    return await client.jobs.cancel(await job_id(client, given.job))


async def _pause(client: AsyncClient, given: OneJob) -> JobView:
    return await client.jobs.pause(await job_id(client, given.job))


async def _resume(client: AsyncClient, given: OneJob) -> JobView:
    return await client.jobs.resume(await job_id(client, given.job))


TOOLS = [
    Tool("list_datasets", "List datasets.", Listing, Items[Dataset], _datasets),
    Tool(
        "show_dataset", "A dataset, what it contains, and the problems of its check.", OneDataset, DatasetView, _dataset
    ),
    Tool("list_models", "List models.", Listing, Items[Model], _models),
    Tool("list_jobs", "List jobs with state, progress and main metric.", JobListing, Items[JobView], _jobs),
    Tool("show_job", "A job in full: metrics by epoch, history, specification.", OneJob, JobDetail, _job),
    Tool("read_log", "The last lines of a job's log.", LogTail, LogLines, _log),
    Tool("compare_jobs", "Jobs side by side: metrics, data, differing parameters.", SomeJobs, Comparison, _compare),
    Tool("rank_jobs", "Jobs by the best value of a metric.", Ranking, Leaderboard, _leaderboard),
    Tool("show_queue", "The queue, whether it is paused, and the devices.", Nothing, QueueView, _queue),
    Tool("list_networks", "Networks with their actions and runners.", Nothing, Items[NetworkInfo], _networks),
    Tool("list_parameters", "Parameters of a network.", OfNetwork, Items[ParameterInfo], _parameters),
    Tool("show_specification", "The saved specification of an action, or the default.", ActionOf, Spec, _spec),
    Tool("plan_jobs", "What `run_jobs` would start, without starting it.", Actions, Items[PlannedJob], _plan),
    Tool("create_model", "Create a model.", ModelCreate, Model, _create_model, writes=True),
    Tool("edit_specification", "Change values of a specification.", SpecChange, Spec, _edit_spec, writes=True),
    Tool("run_jobs", "Queue a chain of actions; returns the ids of the jobs.", Actions, Items[str], _run, writes=True),
    Tool("cancel_job", "Cancel a job; a stopped run cannot be resumed.", OneJob, JobView, _cancel, writes=True),
    Tool("pause_job", "Stop a training so that it can be resumed.", OneJob, JobView, _pause, writes=True),
    Tool("resume_job", "Continue a paused training.", OneJob, JobView, _resume, writes=True),
]
