"""taod.toml: every key, its default and its limits; where the file is looked for; how the environment overrides it."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import platformdirs
from msgspec import Meta

from taod.errors import ConfigError

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Slots = Annotated[int, Meta(ge=1)]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FILENAME = "taod.toml"


class ServerConfig(msgspec.Struct, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: Port = 8470
    """0: a free one, told in daemon.json."""
    allow_remote: bool = False
    """Without it a host that is not loopback is refused."""
    allowed_hosts: list[str] = []
    """Names that clients may use in the Host header beside the bound one."""


class StorageConfig(msgspec.Struct, forbid_unknown_fields=True):
    root: str = ""
    """Empty: the user's data folder."""
    link_roots: list[str] = msgspec.field(default_factory=lambda: ["~"])
    """Folders below which a local folder may be registered as a data set or as weights."""


class DevicesConfig(msgspec.Struct, forbid_unknown_fields=True):
    cpu_slots: Count = 1
    """Slots where there is no GPU."""
    cpu_beside_gpus: bool = False
    """Offer the CPU slots on a machine that has GPUs too."""
    gpus: bool = True
    """False: leave the GPUs alone."""
    slots_per_gpu: Slots = 1
    exclude: list[str] = []
    """UUIDs or indices of GPUs that are never leased."""
    telemetry_s: Positive = 2.0
    """Seconds between readings of utilisation, memory, temperature and power, while somebody looks."""


class SchedulerConfig(msgspec.Struct, forbid_unknown_fields=True):
    grace_s: Positive = 15.0
    """Seconds from SIGTERM to SIGKILL."""


class NativeConfig(msgspec.Struct, forbid_unknown_fields=True):
    path: list[str] = []
    """Folders searched for `<network>` executables before PATH."""
    venv: str = ""
    """A virtual environment whose bin folder is searched first."""


class EmbeddedConfig(msgspec.Struct, forbid_unknown_fields=True):
    python: str = ""
    """The interpreter that runs the engine; empty: the daemon's own."""
    threads: Count = 0
    """Threads that a run on a CPU slot may use; 0: the machine's cores shared among the slots."""


class RunnerRule(msgspec.Struct, forbid_unknown_fields=True):
    """The first rule that matches wins over `order`; `*` and `?` are wildcards."""

    runner: str
    network: str = "*"
    action: str = "*"


class RunnerConfig(msgspec.Struct, forbid_unknown_fields=True):
    order: list[str] = msgspec.field(default_factory=lambda: ["native", "embedded"])
    """The first that can do an action does it."""
    native: NativeConfig = msgspec.field(default_factory=NativeConfig)
    embedded: EmbeddedConfig = msgspec.field(default_factory=EmbeddedConfig)
    rule: list[RunnerRule] = []


class SpecsConfig(msgspec.Struct, forbid_unknown_fields=True):
    strict: bool = False
    """Refuse parameters that no table has, instead of keeping them with a warning."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Which checkpoint of a training the jobs after it work on: of the highest epoch, or of the best metric."""


class DatasetsConfig(msgspec.Struct, forbid_unknown_fields=True):
    check: Literal["auto", "off"] = "auto"
    """Check all files of a data set after each upload or link, beside everything else; or only when asked."""
    check_after_s: Annotated[float, Meta(ge=0)] = 2.0
    """Seconds of quiet after an upload before its check begins."""


class LimitsConfig(msgspec.Struct, forbid_unknown_fields=True):
    body_bytes: Slots = 16 * 1024**2
    """Of a JSON body."""
    upload_bytes: Slots = 512 * 1024**3
    archive_bytes: Slots = 1024 * 1024**3
    """Of everything that an archive unpacks to."""
    archive_files: Slots = 20_000_000
    archive_ratio: Positive = 200.0
    """Unpacked bytes for each packed one, counted from the first 64 MiB on."""


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole of taod.toml."""

    server: ServerConfig = msgspec.field(default_factory=ServerConfig)
    storage: StorageConfig = msgspec.field(default_factory=StorageConfig)
    devices: DevicesConfig = msgspec.field(default_factory=DevicesConfig)
    scheduler: SchedulerConfig = msgspec.field(default_factory=SchedulerConfig)
    runner: RunnerConfig = msgspec.field(default_factory=RunnerConfig)
    specs: SpecsConfig = msgspec.field(default_factory=SpecsConfig)
    datasets: DatasetsConfig = msgspec.field(default_factory=DatasetsConfig)
    limits: LimitsConfig = msgspec.field(default_factory=LimitsConfig)

    @property
    def root(self) -> Path:
        """The root folder, absolute."""
        chosen = self.storage.root or platformdirs.user_data_dir("taod", appauthor=False)
        return Path(chosen).expanduser().absolute()


def find(explicit: Path | None = None) -> Path | None:
    """The file to read: `explicit`, else ./taod.toml, else the one in the user's config folder, else none.

    Raises ConfigError when `explicit` is no file.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(f"--config {explicit}: there is no such file")
        return explicit
    for folder in (Path.cwd(), Path(platformdirs.user_config_dir("taod", appauthor=False))):
        if (folder / FILENAME).is_file():
            return folder / FILENAME
    return None


def load(
    explicit: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """The configuration: file, then `TAOD_<SECTION>_<KEY>` (and TAOD_ROOT), then `overrides` ("server.port": 0).

    Raises ConfigError naming the file or variable, the key, the value and the remedy.
    """
    source = find(explicit)
    document: dict[str, Any] = {}
    if source is not None:
        try:
            document = tomllib.loads(source.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{source}: {error}") from error
    config = _convert(document, str(source))
    for dotted, (origin, value) in _environment(environ).items():
        _set(document, dotted, value)
        config = _convert(document, origin)
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _set(document, dotted, value)
            config = _convert(document, dotted)
    if not config.server.allow_remote and config.server.host not in LOOPBACK:
        raise ConfigError(
            f"server.host = {config.server.host!r} is reachable from other machines; "
            "set server.allow_remote = true if that is meant, or use 127.0.0.1"
        )
    return config


def _environment(environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    if environ.get("TAOD_ROOT"):
        found["storage.root"] = ("TAOD_ROOT", environ["TAOD_ROOT"])
    for section, kind in get_type_hints(Config).items():
        for key in get_type_hints(kind):
            name = f"TAOD_{section}_{key}".upper()
            if name in environ and key not in ("native", "embedded", "rule"):
                found[f"{section}.{key}"] = (name, _value(environ[name]))
    return found


def _value(text: str) -> Any:
    """A value of the environment reads as TOML does (true, 3, [..]); what is no TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(document: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[key] = value


def _convert(document: dict[str, Any], origin: str) -> Config:
    try:
        return msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        unknown = _unknown(document, Config, "")
        raise ConfigError(f"{origin}: {unknown or error}") from error


def _unknown(document: Any, kind: Any, prefix: str) -> str | None:
    """The first key that the tables lack, with the nearest one that they have."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(document, dict)):
        return None
    hints = get_type_hints(kind)
    for key, value in document.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(sorted(hints))}"
            return f"unknown key {prefix}{key}; {hint}"
        deeper = _unknown(value, hints[key], f"{prefix}{key}.")
        if deeper:
            return deeper
    return None
