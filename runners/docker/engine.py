"""Requests to a container engine through the Docker SDK, which only this file imports, on the first use."""

from __future__ import annotations

import asyncio
import functools
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from runners.docker.container import STOP_SIGNAL, Container, host_options
from runners.docker.endpoint import NoEngine
from runners.remote_wrapper import COMMAND

Value = TypeVar("Value")
ANSWER_S = 60
"""Time limit of a request; creating a container on a slow disk takes seconds."""


STOP_BY_HAND_S = 60
"""Grace period of a stop by the engine's own command or at its shutdown, for the tool to save. Podman's default is
0."""


class ContainerGone(Exception):
    """The container does not exist."""


class Taken(Exception):
    """A container of that name exists already."""


class Rejected(Exception):
    """The engine rejected the request; the text is its own message."""


class State(msgspec.Struct, frozen=True):
    """State of a container."""

    running: bool
    created: bool
    """Created and never started."""
    exit_code: int | None
    out_of_memory: bool = False
    error: str = ""


class Engine:
    """One engine. Each method raises NoEngine if it does not answer, Rejected for an error answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: Any = None
        self._lock = threading.Lock()

    def create(self, container: Container) -> str:
        """Create the container; returns its id. Raises Taken."""
        from docker.types import DeviceRequest, Mount, Ulimit

        client = self._shared()
        with _translated_errors():
            host = client.create_host_config(
                **host_options(container),
                mounts=[Mount(m.inside, m.path, type="bind", read_only=m.read_only) for m in container.mounts],
                ulimits=[Ulimit(name=name, soft=limit, hard=limit) for name, limit in container.ulimits.items()],
                device_requests=[
                    DeviceRequest(driver="nvidia", device_ids=container.gpus, capabilities=[["gpu"]]),
                ]
                if container.gpus
                else None,
            )
            made = client.create_container(
                container.image,
                command=["-c", *container.wrapped],
                entrypoint=["/bin/sh"],
                name=container.name,
                environment=container.environment | {COMMAND: shlex.join(container.argv)},
                labels=container.labels,
                user=container.user,
                working_dir=container.folder,
                stop_signal=STOP_SIGNAL,
                stop_timeout=STOP_BY_HAND_S,
                host_config=host,
            )
        return str(made["Id"])

    def start(self, handle: str) -> None:
        with _translated_errors():
            self._shared().start(handle)

    def kill(self, handle: str, number: str) -> None:
        """Send a signal to the container. Raises ContainerGone if it has ended."""
        with _translated_errors():
            self._shared().kill(handle, number)

    def remove(self, handle: str) -> None:
        """Remove the container, running or not."""
        try:
            with _translated_errors():
                self._shared().remove_container(handle, force=True, v=True)
        except (ContainerGone, Taken):
            pass  # it is being removed already

    def state(self, handle: str) -> State:
        with _translated_errors():
            state = self._shared().inspect_container(handle)["State"]
        return State(
            running=bool(state["Running"]),
            created=state["Status"] == "created",
            exit_code=state.get("ExitCode"),
            out_of_memory=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
        )

    def last_words(self, handle: str) -> str:
        """The container's own output: only what the wrapper could not write to the job's log."""
        with _translated_errors():
            return bytes(self._shared().logs(handle, tail=5)).decode(errors="replace").strip()

    def wait(self, handle: str) -> None:
        """Wait for the container's end. Blocks; uses a new connection."""
        with _translated_errors():
            client = self._fresh(timeout=None)
            try:
                client.wait(handle)
            finally:
                client.close()

    def has(self, image: str) -> bool:
        try:
            with _translated_errors():
                self._shared().inspect_image(image)
        except ContainerGone:
            return False
        return True

    def pull(self, image: str) -> Iterator[dict[str, Any]]:
        """Download an image; yields the engine's progress reports. Logs in only through a credential helper.

        Raises ContainerGone if the registry has no such image.
        """
        from docker import auth, utils

        repository, tag = utils.parse_repository_tag(image)
        with _translated_errors():
            client = self._fresh(timeout=None)
            try:
                registry, _ = auth.resolve_repository_name(repository)
                known = auth.load_config(credstore_env=client.credstore_env)
                helper = known.get_credential_store(registry)
                login = known.resolve_authconfig(registry) if helper else None
                for report in client.pull(
                    repository, tag or "latest", stream=True, decode=True, auth_config=login or {}
                ):
                    if "error" in report:
                        raise Rejected(report["error"])
                    yield report
            finally:
                client.close()

    def _shared(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._fresh(timeout=ANSWER_S)
            return self._client

    def _fresh(self, timeout: float | None) -> Any:
        import docker

        with _translated_errors():
            return docker.APIClient(base_url=self.url, version="auto", timeout=timeout)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translates the SDK's exceptions into this module's errors."""
    import requests
    from docker import errors

    try:
        yield
    except (ContainerGone, Taken, Rejected, NoEngine):
        raise
    except errors.NotFound as error:
        raise ContainerGone(_explanation(error)) from error
    except errors.APIError as error:
        raise _engine_error(error.status_code, _explanation(error)) from error
    except (requests.exceptions.RequestException, errors.DockerException, OSError) as error:
        raise NoEngine(f"the container engine does not answer: {error}") from error


def _engine_error(status: int, text: str) -> Exception:
    """An error answer as this module's error. Podman's codes and texts differ from Docker's for two of them."""
    if "is not running" in text or "can only kill running containers" in text:
        return ContainerGone(text)
    if status == 409 or "that name is already in use" in text:
        return Taken(text)
    return Rejected(text)


def _explanation(error: Any) -> str:
    return str(error.explanation or error)


async def in_thread(work: Callable[..., Value], *arguments: object) -> Value:
    """Run `work` in a thread that is not joined at the program's end: it may take as long as a training."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Value] = loop.create_future()

    def run() -> None:
        try:
            deliver = functools.partial(_set, done, work(*arguments), None)
        except BaseException as error:
            deliver = functools.partial(_set, done, None, error)
        try:
            loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            pass  # the loop is closed: the result is not needed

    threading.Thread(target=run, name=f"docker {work.__name__}", daemon=True).start()
    return await done


def _set(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error)
