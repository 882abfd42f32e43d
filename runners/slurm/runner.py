"""The slurm runner: each run is a batch job of the cluster, in a folder shared by its nodes and this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from typing import Any

from runners import remote_wrapper, rules
from runners.environment import Rules
from runners.protocol import Claim, Launch, RunEnd, RunIdentity, RunRequest, StartFailed, Verdict
from runners.slurm import script as scripts
from runners.slurm import state
from runners.slurm.commands import PROGRAMS, Commands, NoCluster
from runners.slurm.state import ClusterJob
from runners.slurm.watcher import Watcher
from taod import masking
from taod.catalogue import releases
from taod.config import SlurmConfig
from taod.watch import FolderWatch

CONFIRMATIONS = 3
"""Number of consecutive answers without a job after which it counts as ended."""
RESTARTING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
"""States of a job whose run has ended and that the cluster starts again."""
CLEARING_S = (0.2, 0.5, 1.0, 2.0)

log = logging.getLogger(__name__)


class Slurm:
    """Its runs lease no device of this machine: the cluster queues them, and taod limits their number."""

    name = "slurm"

    def __init__(self, config: SlurmConfig | None = None, rules: Rules | None = None) -> None:
        self._config = config or SlurmConfig()
        self._rules = rules or Rules()
        self.slots = self._config.max_jobs
        self.gpus = self._config.max_gpus
        self._commands = Commands(self._config, self._rules)
        self._watcher = Watcher(self._commands, self._config.poll_s)

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            return Verdict(False, f"there is no {' and no '.join(missing)}", "install the Slurm client of your cluster")
        return Verdict(True)

    def can_release(self, network: str, action: str, release: str) -> Verdict:
        """Compares with `release` of taod.toml, else with the version in a name in `prefix`, else with 5.0."""
        version = scripts.release(self._config, network, action)
        has = releases.covering(version, network)
        if has == release:
            return Verdict(True)
        if has is None:
            remedy = f"name {releases.nearest(version)}, the nearest known release, in runner.slurm.release"
            return Verdict(False, f"taod knows no release {version} of the cluster's tools", remedy)
        return Verdict(
            False,
            f"the cluster's tools are of release {has}, and the model of release {release}",
            "name their release in runner.slurm.release, or in a runner.slurm.rule",
        )

    def secrets(self, network: str, action: str) -> list[str]:
        return rules.readable_secrets(scripts.secrets(self._config, network, action))

    def describe(self, request: RunRequest) -> Launch:
        command = request.command
        words = ["sbatch", "--parsable", *scripts.options(request, self._config)]
        prefix = scripts.resources(self._config, command.network, command.action).prefix
        masked = dict.fromkeys(scripts.secrets(self._config, command.network, command.action), masking.MASK)
        environment = scripts.environment(request, self._config, self._rules)
        return Launch([*words, *prefix, *command.argv_with_following()], environment | masked)

    async def start(self, request: RunRequest) -> RunIdentity:
        remote_wrapper.open_folder(request)
        options, command = scripts.options(request, self._config), request.command
        secrets = rules.read_secrets(scripts.secrets(self._config, command.network, command.action))
        path = request.run_folder.path / "job.sh"
        try:
            # Created exclusively: a second starter of the attempt fails here. It may contain the model's key.
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o700), "w") as file:
                file.write(scripts.script(request, self._config, self._rules))
        except FileExistsError:
            raise StartFailed(f"attempt {request.attempt} was claimed by another starter") from None
        except OSError as error:
            raise StartFailed(f"the run could not be started: {error}") from error
        try:
            handle = await self._commands.submit(options, str(path), secrets)
        except NoCluster as error:
            # If the cluster accepted the job nevertheless, the job finds the claim taken and ends.
            remote_wrapper.take_claim(request.run_folder)
            raise StartFailed(f"the cluster does not accept the run: {error}") from error
        remote_wrapper.log_line(request, f"job {handle} of the cluster")
        return RunIdentity(runner=self.name, handle=handle)

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        known = await self._known(request)
        if known is None and (
            remote_wrapper.take_claim(request.run_folder)
            or remote_wrapper.claimant(request.run_folder) == remote_wrapper.DAEMON
        ):
            # A job that starts only now finds the claim taken, and ends.
            return Claim.NEVER, None
        handle = known.number if known is not None else remote_wrapper.claimant(request.run_folder)
        claim = remote_wrapper.claim_state(request.run_folder)
        if claim is Claim.NEVER:
            return claim, None
        if claim is Claim.LIVES and known is not None and not known.lives:
            claim = Claim.ENDED
        return claim, RunIdentity(runner=self.name, handle=handle)

    async def wait(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        run, handle = request.run_folder, identity.handle or ""
        if (ended := remote_wrapper.recorded_end(run)) is not None:
            return ended
        while True:
            code, seen = await self._until_over(handle, request)
            if code != 0:
                with suppress(NoCluster):
                    seen = await self._final(handle, scripts.name_of(request)) or seen
            if not (self._config.requeue and seen is not None and seen.state in RESTARTING):
                break
            run.exit.unlink(missing_ok=True)
            remote_wrapper.log_line(
                request, f"job {handle} was put back into the queue of the cluster and starts again"
            )
        ended = state.ended(seen, code, handle)
        with suppress(OSError):
            remote_wrapper.record_end(run, ended)
        return ended

    async def _until_over(self, handle: str, request: RunRequest) -> tuple[int | None, ClusterJob | None]:
        """Wait until the run has recorded its exit code or the cluster reports its end. Returns both."""
        run, name = request.run_folder, scripts.name_of(request)
        reports: list[ClusterJob | None] = []
        reason = ""
        async with FolderWatch(run.path) as watch:

            def update(seen: ClusterJob | None) -> None:
                nonlocal reason
                if seen is not None and seen.state == "PENDING" and seen.reason not in ("", reason):
                    reason = seen.reason
                    with suppress(OSError):
                        remote_wrapper.log_line(request, f"job {handle} waits on the cluster: {reason}")
                if seen is None or not seen.lives:
                    reports.extend([seen] * (1 if seen is None else CONFIRMATIONS))
                    watch.wake()

            self._watcher.watch(name, update)
            try:
                while (code := run.exit_code()) is None and len(reports) < CONFIRMATIONS:
                    await watch.changed()
            finally:
                self._watcher.leave(update)
        return code, next((each for each in reversed(reports) if each is not None), None)

    async def stop(self, identity: RunIdentity, request: RunRequest, *, force: bool) -> None:
        handle = identity.handle or ""
        try:
            if remote_wrapper.claimant(request.run_folder) is None:
                # It has not started, or is just starting: then the cluster's own SIGTERM reaches it.
                await self._commands.cancel([handle])
            elif force:
                await self._commands.signal([handle], "KILL")
            else:
                # The wrapper passes it on to the training instead of its launcher: `remote_wrapper.signalled`.
                wrapper_alone = remote_wrapper.signalled(request.command) == "children"
                await self._commands.signal([handle], "TERM", wrapper_alone=wrapper_alone)
        except NoCluster as error:
            if "Invalid job id" not in str(error) and "already" not in str(error):
                raise

    async def _final(self, handle: str, name: str) -> ClusterJob | None:
        """The final state on the cluster, which reports it only after its cleanup."""
        seen = await self._commands.one(handle)
        for pause in CLEARING_S:
            if seen is None or seen.state != "COMPLETING":
                break
            await asyncio.sleep(pause)
            seen = await self._commands.one(handle)
        return seen if seen is not None and seen.name == name else None

    async def _known(self, request: RunRequest) -> ClusterJob | None:
        """The cluster's job of this attempt; None if the cluster does not know one."""
        try:
            found = await self._commands.named(scripts.name_of(request))
        except NoCluster as error:
            log.warning("the cluster cannot be asked for %s: %s", scripts.name_of(request), error)
            return None
        return found[-1] if found else None
