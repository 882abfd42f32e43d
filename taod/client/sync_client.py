"""The synchronous client: every call of `AsyncClient`, run in an event loop of a background thread.

A namespace lists the calls of its asynchronous one; `blocking` and `iterating` keep their parameters and types.
`tests/client/test_sync_client.py` compares both clients.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import ExitStack, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from taod.client.async_client import AsyncClient
from taod.client.datasets import AsyncDatasets
from taod.client.events import AsyncEvents
from taod.client.files import AsyncFiles
from taod.client.find import find
from taod.client.jobs import AsyncJobs
from taod.client.logs import AsyncLogs
from taod.client.models import AsyncModels, AsyncPtms
from taod.client.networks import AsyncDevices, AsyncNetworks
from taod.client.notifications import AsyncNotifications
from taod.client.queue import AsyncQueue
from taod.client.specs import AsyncSpecs
from taod.client.sweeps import AsyncSweeps
from taod.client.tools import AsyncTools
from taod.client.transport import Rediscover
from taod.types.common import DaemonInfo

Async = TypeVar("Async")
P = ParamSpec("P")
T = TypeVar("T")


class _Blocking(Generic[Async]):
    """An asynchronous object, and the event loop that runs its calls."""

    def __init__(self, wrapped: Async, portal: BlockingPortal) -> None:
        self._wrapped, self._portal = wrapped, portal

    def _wait(self, call: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call. An interrupt of this thread cancels the call."""

        async def run() -> T:
            return await call(*args, **kwargs)

        future = self._portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def blocking(
    call: Callable[Concatenate[Async, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Blocking[Async], P], T]:
    """A method that waits for an asynchronous one."""

    @wraps(call)
    def wait(self: _Blocking[Async], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(call, self._wrapped, *args, **kwargs)

    return wait


def iterating(
    call: Callable[Concatenate[Async, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[_Blocking[Async], P], Generator[T, None, None]]:
    """A generator over an asynchronous one; closing it closes that one."""

    @wraps(call)
    def iterate(self: _Blocking[Async], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        generator = call(self._wrapped, *args, **kwargs)
        try:
            while True:
                try:
                    item = self._wait(generator.__anext__)
                except StopAsyncIteration:
                    return
                yield item
        finally:
            with suppress(RuntimeError):  # The client is closed, or an interrupt has ended the generator.
                self._wait(generator.aclose)

    return iterate


class Networks(_Blocking[AsyncNetworks]):
    list = blocking(AsyncNetworks.list)
    get = blocking(AsyncNetworks.get)
    parameters = blocking(AsyncNetworks.parameters)


class Devices(_Blocking[AsyncDevices]):
    list = blocking(AsyncDevices.list)


class Datasets(_Blocking[AsyncDatasets]):
    list = blocking(AsyncDatasets.list)
    get = blocking(AsyncDatasets.get)
    create = blocking(AsyncDatasets.create)
    create_from_job = blocking(AsyncDatasets.create_from_job)
    replace = blocking(AsyncDatasets.replace)
    update = blocking(AsyncDatasets.update)
    delete = blocking(AsyncDatasets.delete)
    summary = blocking(AsyncDatasets.summary)
    link = blocking(AsyncDatasets.link)
    upload = blocking(AsyncDatasets.upload)
    upload_pipe = blocking(AsyncDatasets.upload_pipe)
    cancel_upload = blocking(AsyncDatasets.cancel_upload)
    report = blocking(AsyncDatasets.report)
    check = blocking(AsyncDatasets.check)
    cancel_check = blocking(AsyncDatasets.cancel_check)
    samples = blocking(AsyncDatasets.samples)
    thumbnail = blocking(AsyncDatasets.thumbnail)


class Models(_Blocking[AsyncModels]):
    list = blocking(AsyncModels.list)
    get = blocking(AsyncModels.get)
    create = blocking(AsyncModels.create)
    replace = blocking(AsyncModels.replace)
    update = blocking(AsyncModels.update)
    preview_release = blocking(AsyncModels.preview_release)
    move_release = blocking(AsyncModels.move_release)
    delete = blocking(AsyncModels.delete)


class Ptms(_Blocking[AsyncPtms]):
    list = blocking(AsyncPtms.list)
    register = blocking(AsyncPtms.register)


class Specs(_Blocking[AsyncSpecs]):
    schema = blocking(AsyncSpecs.schema)
    get = blocking(AsyncSpecs.get)
    current = blocking(AsyncSpecs.current)
    save = blocking(AsyncSpecs.save)
    save_file = blocking(AsyncSpecs.save_file)
    merge = blocking(AsyncSpecs.merge)


class Jobs(_Blocking[AsyncJobs]):
    run = blocking(AsyncJobs.run)
    plan = blocking(AsyncJobs.plan)
    list = blocking(AsyncJobs.list)
    counts = blocking(AsyncJobs.counts)
    leaderboard = blocking(AsyncJobs.leaderboard)
    get = blocking(AsyncJobs.get)
    list_owned = blocking(AsyncJobs.list_owned)
    get_owned = blocking(AsyncJobs.get_owned)
    watch = iterating(AsyncJobs.watch)
    cancel = blocking(AsyncJobs.cancel)
    pause = blocking(AsyncJobs.pause)
    resume = blocking(AsyncJobs.resume)
    update = blocking(AsyncJobs.update)
    delete = blocking(AsyncJobs.delete)


class Sweeps(_Blocking[AsyncSweeps]):
    get = blocking(AsyncSweeps.get)
    csv = blocking(AsyncSweeps.csv)
    finish = blocking(AsyncSweeps.finish)


class Logs(_Blocking[AsyncLogs]):
    tail = blocking(AsyncLogs.tail)
    read = blocking(AsyncLogs.read)
    follow = iterating(AsyncLogs.follow)


class Files(_Blocking[AsyncFiles]):
    list = blocking(AsyncFiles.list)
    download = blocking(AsyncFiles.download)
    read = blocking(AsyncFiles.read)
    download_all = blocking(AsyncFiles.download_all)


class Tools(_Blocking[AsyncTools]):
    list = blocking(AsyncTools.list)
    install = blocking(AsyncTools.install)
    check = blocking(AsyncTools.check)
    remove = blocking(AsyncTools.remove)


class Notifications(_Blocking[AsyncNotifications]):
    state = blocking(AsyncNotifications.state)
    test = blocking(AsyncNotifications.test)


class Queue(_Blocking[AsyncQueue]):
    state = blocking(AsyncQueue.state)
    pause = blocking(AsyncQueue.pause)
    resume = blocking(AsyncQueue.resume)
    list = blocking(AsyncQueue.list)


class Events(_Blocking[AsyncEvents]):
    stream = iterating(AsyncEvents.stream)


class Client(_Blocking[AsyncClient]):
    """`AsyncClient` for code without an event loop; its calls block, and raise the same errors.

    Use it as a context manager, or `client.close()` at the end. Threads may share it.
    """

    def __init__(self, url: str, user_id: str, token: str, *, rediscover: Rediscover | None = None) -> None:
        client = AsyncClient(url, user_id, token, rediscover=rediscover)
        self._thread = ExitStack()
        super().__init__(client, self._thread.enter_context(start_blocking_portal("asyncio")))
        self._thread.callback(self._wait, client.aclose)
        self.networks = Networks(client.networks, self._portal)
        self.devices = Devices(client.devices, self._portal)
        self.datasets = Datasets(client.datasets, self._portal)
        self.models = Models(client.models, self._portal)
        self.ptms = Ptms(client.ptms, self._portal)
        self.specs = Specs(client.specs, self._portal)
        self.jobs = Jobs(client.jobs, self._portal)
        self.sweeps = Sweeps(client.sweeps, self._portal)
        self.logs = Logs(client.logs, self._portal)
        self.files = Files(client.files, self._portal)
        self.queue = Queue(client.queue, self._portal)
        self.tools = Tools(client.tools, self._portal)
        self.notifications = Notifications(client.notifications, self._portal)
        self.events = Events(client.events, self._portal)

    @classmethod
    def connect(cls, root: Path | None = None, *, url: str | None = None, token: str | None = None) -> Self:
        """A client of the daemon that `find` finds, now and after a lost connection. Raises as `find`."""
        return cls.from_info(find(root, url, token), rediscover=lambda: find(root, url, token))

    @classmethod
    def from_info(cls, info: DaemonInfo, *, rediscover: Rediscover | None = None) -> Self:
        """A client of this daemon; `rediscover` finds it again after a lost connection."""
        return cls(info.url, info.user_id, info.token, rediscover=rediscover)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; open streams end, later calls raise RuntimeError."""
        self._thread.close()

    health = blocking(AsyncClient.health)
