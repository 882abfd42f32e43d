"""The docker runner: each run is a container of the image with its tool."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runners import ports, remote_wrapper, rules
from runners.docker import container as containers
from runners.docker import endpoint
from runners.docker.container import Container
from runners.docker.endpoint import NoEngine
from runners.docker.engine import ContainerGone, Engine, Rejected, Taken, in_thread
from runners.docker.progress import Progress
from runners.environment import Rules, threads_per_slot
from runners.ports import Reservation
from runners.protocol import Claim, Launch, RunEnd, RunIdentity, RunRequest, StartFailed, Verdict
from taod import installed, masking
from taod.backoff import Backoff
from taod.catalogue import network as catalogue
from taod.catalogue import releases
from taod.config import DockerConfig
from taod.paths import RunFolder
from taod.watch import FolderWatch

CACHE_S = 5.0
"""Time for which the engine's answers about itself and images are cached."""
CLAIM_LIMIT_S = 5.0
"""Time limit for a stop to wait until a container's first process can handle signals."""
DEPLOYED = frozenset({"gen_trt_engine", "trtexec"})
RELEASE_LABEL = "taod.release"
"""Label of an image with the release of its tools."""
VERSION_LABEL = "org.opencontainers.image.version"
"""OCI's label for the version of what an image contains. Images inherit it from the system that they are built on."""

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class Docker:
    """Runs a command line in a container that sees only the job's folder and what the run reads."""

    name = "docker"

    def __init__(self, config: DockerConfig | None = None, rules: Rules | None = None, *, cpu_slots: int = 1) -> None:
        self._config = config or DockerConfig()
        self._rules = rules or Rules()
        self._ports: dict[str, Reservation] = {}
        """Ports by container name: a container cannot hold a socket of this machine, so the daemon holds it."""
        self._threads = threads_per_slot(0, cpu_slots)
        self._engine: Engine | None = None
        self._known: dict[str, tuple[float, Verdict]] = {}
        self._labels: dict[str, tuple[float, dict[str, str]]] = {}

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        kind = kind_of(network, action)
        at, verdict = self._known.get(kind, (0.0, None))
        if verdict is None or time.monotonic() - at > CACHE_S:
            verdict = self._check(kind)
            self._known[kind] = (time.monotonic(), verdict)
        return verdict

    def can_release(self, network: str, action: str, release: str) -> Verdict:
        """Compares with the release that the rules, the image's labels or its tag name; without any it is 5.0."""
        image = self._config.images.get(kind_of(network, action), "")
        named = [rule.release for rule in rules.matching(self._config.rule, network, action) if rule.release]
        version = named[-1] if named else self._version(image, network)
        has = releases.covering(version, network)
        if has == release:
            return Verdict(True)
        if has is None:
            nearest = releases.nearest(version)
            return Verdict(
                False,
                f"taod knows no release {version} of the image {image}",
                f"name an image of {nearest}, the nearest known release, in runner.docker.images",
            )
        return Verdict(
            False,
            f"the image {image} is of release {has}, and the model of release {release}",
            f"name an image of release {release} in runner.docker.images",
        )

    def _version(self, image: str, network: str) -> str:
        """The version that `RELEASE_LABEL` or the tag name, or `VERSION_LABEL` if it is one that taod knows."""
        labels = self._labels_of(image)
        if version := labels.get(RELEASE_LABEL) or releases.in_tag(image):
            return version
        inherited = labels.get(VERSION_LABEL, "")
        return inherited if releases.covering(inherited, network) else releases.BASE

    def _labels_of(self, image: str) -> dict[str, str]:
        """The labels of a local image; none while it is not here or no engine answers."""
        at, labels = self._labels.get(image, (0.0, {}))
        if at and time.monotonic() - at <= CACHE_S:
            return labels
        try:
            labels = endpoint.labels(endpoint.find(self._config.socket), image) or {}
        except NoEngine:
            # An engine that hangs is asked only once for all images.
            self._labels |= {each: (time.monotonic(), {}) for each in self._config.images.values()}
            return {}
        self._labels[image] = (time.monotonic(), labels)
        return labels

    def describe(self, request: RunRequest) -> Launch:
        container = self._container(request)
        masked = dict.fromkeys(container.secrets, masking.MASK)
        return Launch(containers.command_line(container), container.environment | masked)

    def secrets(self, network: str, action: str) -> list[str]:
        return rules.readable_secrets(rules.sources(rules.matching(self._config.rule, network, action)))

    async def start(self, request: RunRequest) -> RunIdentity:
        try:
            return await self._start(request)
        except BaseException:
            self._release_port(request)
            raise

    async def _start(self, request: RunRequest) -> RunIdentity:
        container = self._container(request)
        secrets = rules.read_secrets(container.secrets)
        container = msgspec.structs.replace(container, environment=container.environment | secrets)
        self._make_cache()
        _require_mounts(container)
        remote_wrapper.open_folder(request)
        try:
            engine = self._answering()
            await self._have_image(engine, container.image, request)
            handle = await _cancellable(_create, engine, self._with_port(container, request))
        except Taken as error:
            raise StartFailed(f"attempt {request.attempt} was claimed by another starter") from error
        except ContainerGone as error:
            raise StartFailed(f"there is no image {container.image}: {error}") from error
        except (NoEngine, Rejected) as error:
            raise StartFailed(_with_remedy(str(error))) from error
        try:
            await in_thread(engine.start, handle)
        except (NoEngine, Rejected, ContainerGone) as error:
            # It may have started; once the daemon has taken the claim it cannot start any more.
            remote_wrapper.take_claim(request.run_folder)
            await self._remove(engine, handle)
            raise StartFailed(_with_remedy(str(error))) from error
        return RunIdentity(runner=self.name, handle=handle)

    async def recover(self, request: RunRequest) -> tuple[Claim, RunIdentity | None]:
        name = containers.name_of(request)
        if (
            remote_wrapper.take_claim(request.run_folder)
            or remote_wrapper.claimant(request.run_folder) == remote_wrapper.DAEMON
        ):
            # A container that exists, or is just being created, finds the claim taken and ends.
            try:
                await self._remove(self._answering(), name)
            except NoEngine as error:
                log.warning("container %s could not be looked for: %s", name, error)
            return Claim.NEVER, None
        claim = remote_wrapper.claim_state(request.run_folder)
        if claim is Claim.LIVES:
            try:
                state = await in_thread(self._answering().state, name)
                claim = Claim.LIVES if state.running else Claim.ENDED
            except ContainerGone:
                claim = Claim.ENDED
            except NoEngine:
                pass  # `wait` continues when the engine answers again
        return claim, RunIdentity(runner=self.name, handle=name)

    async def wait(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        name = containers.name_of(request)
        if name not in self._ports and (again := ports.reserve_again(request.run_folder.port)) is not None:
            self._ports[name] = again
        ended = await self._wait(identity, request)
        self._release_port(request)
        return ended

    async def _wait(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        run, handle = request.run_folder, identity.handle or containers.name_of(request)
        backoff = Backoff(first_s=0.2, longest_s=5.0)
        while (ended := remote_wrapper.recorded_end(run)) is None:
            try:
                engine = self._answering()
                await in_thread(engine.wait, handle)
                ended = await self._ending(engine, handle, request)
                return await self._finish(engine, handle, request, ended)
            except ContainerGone:
                code = run.exit_code()
                return remote_wrapper.record_end(
                    run, RunEnd(code, "" if code is not None else "its container was removed")
                )
            except (NoEngine, Rejected) as error:
                code = run.exit_code()
                if code is not None and backoff.failures:
                    return RunEnd(code)
                backoff.report(log, error, "container %s cannot be waited for now", handle)
                await backoff.wait()
        return ended

    async def stop(self, identity: RunIdentity, request: RunRequest, *, force: bool) -> None:
        run, handle = request.run_folder, identity.handle or containers.name_of(request)
        engine = self._answering()
        if not force and remote_wrapper.claimant(run) is None:
            # The first process of a container gets only signals that it handles: a SIGTERM before the wrapper's trap
            # would be lost.
            await _claimed(run)
        try:
            await in_thread(engine.kill, handle, "SIGKILL" if force else containers.STOP_SIGNAL)
        except ContainerGone:
            pass

    def _with_port(self, container: Container, request: RunRequest) -> Container:
        """The container with a reserved port. Raises StartFailed."""
        try:
            port = ports.reserve()
            port.record(request.run_folder.port)
            ports.write_to_spec(request.command, port.number)
        except OSError as error:
            raise StartFailed(f"no port for the run: {error}") from error
        self._ports[container.name] = port
        return msgspec.structs.replace(container, environment=ports.environment(port.number) | container.environment)

    def _release_port(self, request: RunRequest) -> None:
        if (port := self._ports.pop(containers.name_of(request), None)) is not None:
            port.close()

    async def _ending(self, engine: Engine, handle: str, request: RunRequest) -> RunEnd:
        state = await in_thread(engine.state, handle)
        code = request.run_folder.exit_code()
        message = state.error
        if state.out_of_memory and (code or state.exit_code):
            limit = f" of {self._config.memory} (runner.docker.memory)" if self._config.memory else ""
            message = f"out of memory: more than the container's limit{limit}" if limit else "out of memory"
        elif code is None and 0 < (state.exit_code or 0) < remote_wrapper.SIGNALLED:
            # The wrapper started nothing, because it could not write its files.
            message = message or await in_thread(engine.last_words, handle) or f"{request.folder} cannot be written"
        return RunEnd(state.exit_code if code is None else code, message)

    async def _finish(self, engine: Engine, handle: str, request: RunRequest, ended: RunEnd) -> RunEnd:
        try:
            remote_wrapper.record_end(request.run_folder, ended)
        except OSError as error:
            log.warning("the end of container %s could not be kept: %s", handle, error)
            return ended
        if not self._config.keep:
            await self._remove(engine, handle)
        return ended

    async def _have_image(self, engine: Engine, image: str, request: RunRequest) -> None:
        pull = self._config.pull
        if pull != "always" and await in_thread(engine.has, image):
            return
        if pull == "never":
            raise StartFailed(_missing(image))
        remote_wrapper.log_line(request, f"downloading {image}")
        await _cancellable(_download, engine, image, request)
        remote_wrapper.log_line(request, f"{image} is there")

    async def _remove(self, engine: Engine, handle: str) -> None:
        try:
            await in_thread(engine.remove, handle)
        except (NoEngine, Rejected) as error:
            log.warning("container %s could not be removed: %s", handle, error)

    def _container(self, request: RunRequest) -> Container:
        kind = request.command.image
        image = self._config.images.get(kind)
        if not image:
            raise StartFailed(f"runner.docker.images has no image of kind {kind!r}; name one")
        try:
            return containers.describe_container(request, image, self._config, self._rules, threads=self._threads)
        except ValueError as error:
            raise StartFailed(str(error)) from error

    def _make_cache(self) -> None:
        """Raises StartFailed."""
        for folder in self._rules.caches().values():
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StartFailed(
                    f"the cache {folder} cannot be created: {error.strerror}; correct runner.cache"
                ) from error

    def _answering(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(endpoint.find(self._config.socket))
        return self._engine

    def _check(self, kind: str) -> Verdict:
        """Whether an engine answers and has, or may download, the image of this kind."""
        from importlib.util import find_spec

        image = self._config.images.get(kind)
        if not image:
            return Verdict(
                False, f"no image of kind {kind!r} is configured", f"name one in runner.docker.images.{kind}"
            )
        if find_spec("docker") is None:
            return Verdict(False, "the Docker SDK is not installed", installed.add("docker"))
        try:
            url = endpoint.find(self._config.socket)
            if self._config.pull == "never" and not endpoint.has_image(url, image):
                reason, _, remedy = _missing(image).partition("; ")
                return Verdict(False, reason, remedy)
            endpoint.ask(url, "/_ping")
        except NoEngine as error:
            verdict = Verdict(False, str(error), "start Docker or podman, or set runner.docker.socket")
            # An engine that hangs is asked only once for all kinds.
            self._known |= {each: (time.monotonic(), verdict) for each in self._config.images}
            return verdict
        return Verdict(True)


def kind_of(network: str, action: str) -> str:
    """The kind of image with the action's tool, as far as network and action determine it."""
    newest = catalogue.get_network(network, releases.KNOWN[-1])
    return "tao-deploy" if action in DEPLOYED else newest.image


async def _claimed(run: RunFolder) -> None:
    """Wait until the run is claimed, up to CLAIM_LIMIT_S: it may have ended without a claim."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLAIM_LIMIT_S), FolderWatch(run.path) as watch:
            while remote_wrapper.claimant(run) is None:
                await watch.changed()


async def _cancellable(work: Callable[..., Value], *arguments: object) -> Value:
    """Run `work` in a thread. Its first argument is an event that is set when the caller is cancelled."""
    left = threading.Event()
    try:
        return await in_thread(work, left, *arguments)
    except asyncio.CancelledError:
        left.set()
        raise


def _create(left: threading.Event, engine: Engine, container: Container) -> str:
    handle = engine.create(container)
    if left.is_set():
        engine.remove(handle)
    return handle


def _download(left: threading.Event, engine: Engine, image: str, request: RunRequest) -> None:
    progress = Progress(image)
    for report in engine.pull(image):
        if left.is_set():
            return  # the engine ends a download that nothing reads
        if line := progress.line_for(report):
            remote_wrapper.log_line(request, line)


def _require_mounts(container: Container) -> None:
    """Check mounts first: for a missing path Podman creates a folder and Docker fails. Raises StartFailed."""
    gone = [mount for mount in container.mounts if not Path(mount.path).exists()]
    if read := [mount.path for mount in gone if mount.read_only and not mount.target]:
        raise StartFailed(f"what the run reads is gone ({', '.join(read)}); upload or link it again")
    if gone:
        paths = ", ".join(mount.path for mount in gone)
        raise StartFailed(f"{paths}: there is no such folder to mount; create it, or correct runner.docker.rule")


def _missing(image: str) -> str:
    return f"the image {image} is not there; `docker pull {image}`, or set runner.docker.pull = 'missing'"


def _with_remedy(text: str) -> str:
    if "could not select device driver" in text or "nvidia-container" in text:
        return f"the container engine cannot give GPUs to containers ({text}); install the NVIDIA Container Toolkit"
    if "rlimit" in text:
        return f"the container engine may not raise limits so far ({text}); set runner.docker.ulimits to what it may"
    if "no space left" in text.lower():
        return f"the disk of the container engine is full ({text}); `docker system prune`"
    return text
