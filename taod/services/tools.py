"""NVIDIA's tools as packages: lists, installs, checks and removes environments, in worker processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from runners.toolenv.__main__ import Request
from runners.toolenv.catalogue import tools_of
from runners.toolenv.environments import Environments
from runners.toolenv.install import Installer
from runners.toolenv.spec import ToolSpecs
from store import Store
from store.records import UserRecord
from taod import program
from taod.clock import Clock, iso
from taod.errors import BadRequest, Conflict
from taod.services.users import require_first
from taod.telemetry.publisher import Publisher
from taod.types.tool import Consent, Environment, ToolInfo, ToolInstall, ToolProgress, ToolState

STOP_S = 5.0
"""Seconds after which an installation that does not stop is killed; the next one resumes it in either case."""
_WORKER = program.module("runners.toolenv")


class Tools:
    """Operations on tools. Environments belong to the root, so only its first user may change them."""

    def __init__(self, *, folder: Path, specs: Path | None, store: Store, publisher: Publisher, clock: Clock) -> None:
        self._environments = Environments(folder, ToolSpecs(specs))
        self._specs = None if specs is None else str(specs)
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def all(self) -> list[ToolInfo]:
        """Every release of every tool, with its environments."""
        return await asyncio.to_thread(tools_of, self._environments)

    async def install(self, user: UserRecord, tool: str, wanted: ToolInstall) -> ToolProgress:
        """Start or resume an installation; events report its progress.

        Raises NotFound for an unknown tool, BadRequest or NoSpace if it cannot be installed on this machine, Conflict
        if it is being installed or is installed already.
        """
        self._check_user(user)
        found = self._environments.specs.get(tool, wanted.release)
        name = found.name(cpu=wanted.cpu)
        self._check_idle(name)
        if any(each.name == name for each in self._environments.ready()):
            raise Conflict(f"{name} is installed already; delete it first, or check it again")
        consent = None
        if wanted.accept_license:
            consent = Consent(found.licence.name, iso(self._clock.time()), user.name)
        installer = Installer(self._environments, found, cpu=wanted.cpu, report=lambda _: None)
        await asyncio.to_thread(installer.check_before, consent, wanted.python)
        folder = str(self._environments.folder)
        request = Request(folder, self._specs, name, tool, found.release, wanted.cpu, consent, wanted.python)
        return self._start(request)

    def check(self, user: UserRecord, name: str) -> ToolProgress:
        """Start a check that imports every action of an environment; events report its progress.

        Raises as `install`.
        """
        self._check_user(user)
        name = self._named(name)
        self._check_idle(name)
        if self._environments.get(name).state is not ToolState.READY:
            raise Conflict(f"{name} is not installed whole; install it first, which resumes its installation")
        return self._start(Request(str(self._environments.folder), self._specs, name))

    async def remove(self, user: UserRecord, name: str) -> Environment:
        """Remove an environment. Raises NotFound; Conflict if it is being installed or used."""
        self._check_user(user)
        name = self._named(name)
        self._check_idle(name)
        found = self._environments.get(name)
        await asyncio.to_thread(self._environments.remove, name)
        self._publisher.tool(ToolProgress(name, 0, 0, "remove", ended=True))
        return found

    async def stop(self) -> None:
        """Interrupt running installations; the next installation resumes them."""
        tasks = list(self._workers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, request: Request) -> ToolProgress:
        task = asyncio.create_task(self._run(request))
        self._workers[request.name] = task
        return ToolProgress(request.name, 0, 0, "install" if request.tool else "check")

    async def _run(self, request: Request) -> None:
        process = await asyncio.create_subprocess_exec(
            *_WORKER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdin is not None and process.stdout is not None
        last = ToolProgress(request.name, 0, 0, "")
        try:
            process.stdin.write(msgspec.json.encode(request))
            process.stdin.close()
            async for line in process.stdout:
                last = msgspec.json.decode(line, type=ToolProgress)
                if not last.ended:
                    self._publisher.tool(last)
            await process.wait()
        finally:
            if process.returncode is None:
                last = await _stopped(process, last)
            if not last.ended:
                why = f"its process ended with {process.returncode}; install it again, which resumes its installation"
                last = msgspec.structs.replace(last, ended=True, error=why)
            # First: a client may send its next request as soon as it receives the end.
            self._workers.pop(request.name, None)
            self._publisher.tool(last)

    def _check_user(self, user: UserRecord) -> None:
        require_first(self._store, user.id, "tools", "install, check or remove tools")

    def _named(self, name: str) -> str:
        """The environment of this name, else the only one of the tool of this name. Raises BadRequest if that has
        several."""
        known = {*self._workers, *(each.name for each in self._environments.all())}
        of_tool = sorted(each for each in known if each.startswith(f"{name}-"))
        if name in known or not of_tool:
            return name
        if len(of_tool) > 1:
            raise BadRequest(f"tool = {name!r} has several environments; name one of {', '.join(of_tool)}")
        return of_tool[0]

    def _check_idle(self, name: str) -> None:
        if name in self._workers:
            raise Conflict(f"{name} is being installed or checked; wait for its end, which an event reports")


async def _stopped(process: asyncio.subprocess.Process, last: ToolProgress) -> ToolProgress:
    """Stop an installation. Returns its last progress, which may be its regular end."""
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            rest, _ = await process.communicate()
    except TimeoutError:
        # Python loses an exception that a signal handler raises during a fork. Its children end with it.
        process.kill()
        await process.wait()
        return last
    for line in rest.splitlines():
        last = msgspec.json.decode(line, type=ToolProgress)
    return last
