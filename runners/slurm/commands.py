"""Calls the cluster's commands: sbatch, squeue, scontrol, sacct, scancel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from runners.environment import Rules, inherited
from runners.slurm import state
from runners.slurm.state import ClusterJob
from taod.config import SlurmConfig

ANSWER_S = 30.0
SET_BY_CLUSTER = ("CUDA_", "NVIDIA_")
PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")


class NoCluster(Exception):
    """A command failed; the text is the cluster's own message."""


class Commands:
    """Each method runs one process and raises NoCluster if it fails."""

    def __init__(self, config: SlurmConfig, rules: Rules) -> None:
        found = inherited([*rules.inherit, "SLURM_CONF*"])
        self._environment = {name: value for name, value in found.items() if not name.startswith(SET_BY_CLUSTER)}
        if config.conf:
            self._environment["SLURM_CONF"] = config.conf

    async def submit(self, options: list[str], script: str, secrets: Mapping[str, str]) -> str:
        """Submit a script, with secrets as variables of sbatch's environment. Returns the number of the job."""
        answer = await self._run("sbatch", "--parsable", *options, script, further=secrets)
        # `number;cluster`
        return answer.strip().split(";")[0]

    async def own_jobs(self) -> list[ClusterJob]:
        """This user's jobs, including recently ended ones."""
        return state.queue(await self._run("squeue", "--me", "--noheader", "--states=all", f"--format={state.FORMAT}"))

    async def named(self, name: str) -> list[ClusterJob]:
        """This user's jobs of that name."""
        arguments = ("--me", "--noheader", "--states=all", f"--name={name}", f"--format={state.FORMAT}")
        return state.queue(await self._run("squeue", *arguments))

    async def one(self, handle: str) -> ClusterJob | None:
        """The job from the controller, else from the accounting; None if neither knows it."""
        try:
            return state.shown(await self._run("scontrol", "show", "job", "--oneliner", handle))
        except NoCluster as error:
            if "Invalid job id" not in str(error):
                raise
        try:
            columns = "--format=JobIDRaw,JobName,State,ExitCode"
            return state.accounted(
                await self._run("sacct", f"--jobs={handle}", "--allocations", "--noheader", "--parsable2", columns)
            )
        except NoCluster:
            return None  # a cluster without accounting

    async def signal(self, handles: Iterable[str], name: str, *, wrapper_alone: bool = False) -> None:
        """Send a signal to every process of the jobs, or with `wrapper_alone` only to the shell of their batch
        scripts."""
        await self._run("scancel", "--batch" if wrapper_alone else "--full", f"--signal={name}", *handles)

    async def cancel(self, handles: Iterable[str]) -> None:
        await self._run("scancel", *handles)

    async def _run(self, program: str, *arguments: str, further: Mapping[str, str] | None = None) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment | dict(further or {}),
            )
        except OSError as error:
            raise NoCluster(f"{program} could not be run: {error.strerror}; install the Slurm client") from error
        try:
            async with asyncio.timeout(ANSWER_S):
                out, errors = await process.communicate()
        except TimeoutError:
            raise NoCluster(f"{program} has not answered for {ANSWER_S:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise NoCluster(errors.decode(errors="replace").strip() or f"{program} ended with {process.returncode}")
        return out.decode(errors="replace")
