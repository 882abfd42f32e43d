"""taod.toml: its keys, defaults and limits, the search for the file, and overrides by environment variables."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec
import platformdirs
from msgspec import Meta

from taod.errors import ConfigError
from taod.masking import MASK
from taod.paths import Root
from taod.types.notification import NotifyEvent

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Slots = Annotated[int, Meta(ge=1)]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FILENAME = "taod.toml"


class ServerConfig(msgspec.Struct, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: Port = 8470
    """0: a free port, written to daemon.json."""
    allow_remote: bool = False
    """Without it a host that is not loopback is rejected."""
    allowed_hosts: list[str] = []
    """Further names that clients may use in the Host header."""
    connections: Annotated[int, Meta(ge=16)] = 1000
    """Most open connections; fewer if the limit of open files is lower. An idle one is closed for a new one."""
    connections_per_peer: Annotated[int, Meta(ge=4)] = 400
    """Most connections of one address, or of one account on this machine."""
    head_bytes: Annotated[int, Meta(ge=4096)] = 65_536
    """Most bytes of a request's line and headers."""
    head_s: Positive = 15.0
    """Seconds within which the request's line and headers must arrive."""
    silence_s: Positive = 120.0
    """Seconds after which a client that neither sends the rest of its body nor reads its answer is disconnected."""
    login_days: NotNegative = 30.0
    """Days for which a token of the login endpoint is valid; 0: for ever."""
    streams_per_user: Slots = 128
    """Most event streams and followed logs of one user."""
    transfers_per_user: Annotated[int, Meta(ge=1)] = 4
    """Uploads, and archives to download, of one user at the same time; others wait."""


class StorageConfig(msgspec.Struct, forbid_unknown_fields=True):
    root: str = ""
    """Empty: the user's data folder."""
    link_roots: list[str] = msgspec.field(default_factory=lambda: ["~"])
    """Folders below which a local folder may be registered as a dataset or as weights."""
    keep_free_bytes: Count = 100 * 1024**2
    """Bytes of the root's disk that uploads leave free, so that the store can still write."""
    backup_hours: NotNegative = 24.0
    """Hours between two copies of the database, kept below the root; 0: copies only by `taod backup`."""
    backup_keep: Slots = 7
    """Number of copies that are kept."""
    link_check_s: Positive = 10.0
    """Seconds for which the last inspection of a linked folder counts as current."""


class DevicesConfig(msgspec.Struct, forbid_unknown_fields=True):
    cpu_slots: Count = 1
    """Slots on a machine without a GPU."""
    cpu_beside_gpus: bool = False
    """Offer the CPU slots on a machine with GPUs too."""
    gpus: bool = True
    """False: do not use GPUs."""
    slots_per_gpu: Slots = 1
    exclude: list[str] = []
    """UUIDs or indices of GPUs that are never leased."""
    foreign: Literal["busy", "ignore"] = "busy"
    """`busy`: a GPU with a foreign process is not leased."""
    min_free_memory: Count = 0
    """Bytes that must be free on a GPU before a run starts there; 0: no bound."""
    telemetry_s: Positive = 2.0
    """Seconds between readings of utilisation, memory, temperature and power, while a client listens."""


class SchedulerConfig(msgspec.Struct, forbid_unknown_fields=True):
    grace_s: Positive = 15.0
    """Seconds from SIGTERM to SIGKILL."""
    ageing_s_per_point: NotNegative = 3600.0
    """Seconds of waiting for which a job gains one point of priority over later jobs; 0: no ageing."""
    max_running: Count = 0
    """Most jobs on devices at once, of all users together; 0: as many as there are slots."""
    max_running_per_user: Count = 0
    """Most jobs of one user on devices at once; 0: no limit."""
    max_queued_per_user: Count = 0
    """Most jobs of one user that have not started; more are rejected. 0: no limit."""
    exclusive: list[str] = []
    """Actions whose runs do not share their devices if slots_per_gpu is more than 1."""


class SupervisionRule(msgspec.Struct, forbid_unknown_fields=True):
    """The first matching rule overrides `[supervision]` with its keys; `*` and `?` are wildcards."""

    network: str = "*"
    action: str = "*"
    memory_bytes: Count | None = None
    wall_s: NotNegative | None = None
    stall_s: NotNegative | None = None
    stall: Literal["warn", "kill"] | None = None
    retries: Count | None = None
    retry_exits: list[int | str] | None = None
    backoff_s: Positive | None = None


class SupervisionConfig(msgspec.Struct, forbid_unknown_fields=True):
    sample_s: Positive = 10.0
    """Seconds between samples of runs' CPU and memory usage; `devices.telemetry_s` while a client listens."""
    memory_bytes: Count = 0
    """Memory limit of all processes of a run together; 0: no limit. Needs control groups."""
    wall_s: NotNegative = 0.0
    """Seconds after which a run is ended; 0: never."""
    stall_s: NotNegative = 1800.0
    """Seconds without a line of log or status after which a run counts as stalled; 0: never."""
    stall: Literal["warn", "kill"] = "warn"
    """Reaction to a stalled run."""
    retries: Count = 0
    """Retries of a run that ended in one of `retry_exits`; train and retrain continue from a checkpoint."""
    retry_exits: list[int | str] = []
    """Exit codes, signals ("SIGKILL") and causes: "oom", "lost" (the GPU was lost), "stall", "unknown"."""
    backoff_s: Positive = 30.0
    """Seconds before the first retry; doubled for each further one, up to an hour."""
    log_bytes: Count = 4 * 1024**3
    """Disk space of a run's log; beyond it, the log's middle is dropped. 0: no limit."""
    log_keep_days: Count = 0
    """Days after which the log of an ended job is deleted; 0: never."""
    rule: list[SupervisionRule] = []


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


Variables = dict[str, str]
"""Environment variables by name."""


class DockerRule(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of containers of some networks and actions. All matching rules apply; later ones override earlier
    ones."""

    network: str = "*"
    action: str = "*"
    environment: Variables = {}
    secrets: Variables = {}
    """Variable -> source of its value: the path of a file, or `$NAME` of the daemon's environment."""
    mounts: list[str] = []
    """Folders and files in the form of `docker run --volume`: `/srv/weights`, `/srv/bert:/root/bert:ro`."""
    network_mode: str | None = None
    """Overrides `runner.docker.network`."""
    entrypoint: list[str] | None = None
    """Words before the tool's command line, such as the image's entry point, which must exec the rest."""
    release: str | None = None
    """The release of the image's tools, if its tag does not name it."""


class DockerConfig(msgspec.Struct, forbid_unknown_fields=True):
    socket: str = ""
    """URL of the engine, such as `unix:///run/podman/podman.sock`; empty: DOCKER_HOST, else the usual sockets."""
    images: dict[str, str] = msgspec.field(
        default_factory=lambda: {
            "tlt-tf1": "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5",
            "tlt-tf2": "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf2.11.0",
            "tlt-pytorch": "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-pyt",
            "tao-deploy": "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-deploy",
            "tao-ds": "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-data-services",
        }
    )
    """Kind of image -> image."""
    pull: Literal["never", "missing", "always"] = "never"
    """Whether a run may download its image (8 GB and more); `never`: only present images are used."""
    network: str = "none"
    """Network of the containers, in the form of `docker run --network`."""
    user: str = ""
    """`uid:gid` of the runs; empty: the daemon's, so that the user owns the results."""
    userns: str = ""
    """User namespace mode; `keep-id` for a rootless podman."""
    shm_size: str = "16g"
    memory: str = ""
    """Memory limit of a run, `32g`; empty: none."""
    ulimits: dict[str, int] = msgspec.field(default_factory=lambda: {"memlock": -1, "stack": 67108864})
    """Limits by name, as for `docker run --ulimit`; -1: none."""
    keep: bool = False
    """Keep ended containers for inspection."""
    rule: list[DockerRule] = []


class SlurmRule(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of some networks and actions. All matching rules apply; later ones override earlier ones."""

    network: str = "*"
    action: str = "*"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    cpus: Count | None = None
    memory: str | None = None
    gres: str | None = None
    options: list[str] | None = None
    environment: Variables = {}
    secrets: Variables = {}
    """Variable -> source of its value, as in `runner.docker.rule`; passed in sbatch's environment."""
    setup: str | None = None
    prefix: list[str] | None = None
    release: str | None = None


class SlurmConfig(msgspec.Struct, forbid_unknown_fields=True):
    conf: str = ""
    """Path of the cluster's slurm.conf; empty: SLURM_CONF, else the usual path."""
    max_jobs: Slots = 16
    """Most runs submitted to the cluster at once; further ones wait in taod's queue."""
    max_gpus: Count = 8
    """Most GPUs of a run."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    time: str = ""
    """Time limit in the form of sbatch: `2-00:00:00`."""
    cpus: Count = 0
    """CPUs for each GPU, or for a run without one; 0: the cluster's default."""
    memory: str = ""
    """Memory per node of a run, `64G`."""
    gres: str = "gpu"
    """Generic resource of a GPU: `gpu`, `gpu:a100`; empty: request none."""
    options: list[str] = []
    """Further options of sbatch: `["--exclusive"]`."""
    path: list[str] = []
    """Folders on the nodes in which `<network>` executables are searched first."""
    setup: str = ""
    """Shell lines before the tool, such as `module load cuda`."""
    prefix: list[str] = []
    """Words before the tool's command line, such as `["apptainer", "exec", "--nv", "/shared/tao.sif"]`."""
    release: str = ""
    """The release of the tools on the cluster; empty: from the version in a name in `prefix`, else 5.0."""
    requeue: bool = False
    """Let the cluster restart a preempted run from its beginning; otherwise it ends, and a resume continues it."""
    poll_s: Positive = 5.0
    """Seconds between queries of the cluster, one for all runs."""
    rule: list[SlurmRule] = []


_USER = ["HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER"]
_PLACES = ["LD_LIBRARY_PATH", "TEMP", "TMP", "TMPDIR", "XDG_CACHE_HOME"]
_PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]
_FAMILIES = ["CUDA_*", "HF_*", "LC_*", "NCCL_*", "NVIDIA_*", "OMP_*", "PYTORCH_*", "SSL_*", "TAO_*", "TLT_*"]
INHERIT = (*_USER, *_PLACES, *_PROXIES, *_FAMILIES)
"""Other variables (PYTHONPATH, a virtual environment, credentials) are not inherited by default."""
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
LEASED = frozenset({"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"})
"""Variables that taod sets from the run's lease."""


class RunnerRule(msgspec.Struct, forbid_unknown_fields=True):
    """The first matching rule overrides `order`; `*` and `?` are wildcards."""

    runner: str
    network: str = "*"
    action: str = "*"


class RunnerConfig(msgspec.Struct, forbid_unknown_fields=True):
    order: list[str] = msgspec.field(default_factory=lambda: ["docker", "native", "embedded"])
    """Runners in order of preference: the first that can run an action is used."""
    inherit: list[str] = msgspec.field(default_factory=lambda: list(INHERIT))
    """The daemon's environment variables that local runs and the cluster's commands inherit: names, prefixes with
    `*`."""
    environment: dict[str, str] = {}
    """Environment variables of every run; they override taod's: `{TELEMETRY_OPT_OUT = "no"}`."""
    cache: str = ""
    """Folder for downloads of runs (HF_HOME, TORCH_HOME, XDG_CACHE_HOME); empty: `cache` below the root."""
    docker: DockerConfig = msgspec.field(default_factory=DockerConfig)
    native: NativeConfig = msgspec.field(default_factory=NativeConfig)
    embedded: EmbeddedConfig = msgspec.field(default_factory=EmbeddedConfig)
    slurm: SlurmConfig = msgspec.field(default_factory=SlurmConfig)
    rule: list[RunnerRule] = []


class ToolsConfig(msgspec.Struct, forbid_unknown_fields=True):
    folder: str = ""
    """Where `taod tools install` creates environments; empty: `tools` below the root."""
    specs: str = ""
    """A folder of further tool specifications, TOML as in `runners/toolenv/data`; empty: only taod's own."""


class SpecsConfig(msgspec.Struct, forbid_unknown_fields=True):
    strict: bool = False
    """Reject unknown parameters instead of keeping them with a warning."""
    checkpoint: Literal["latest", "best"] = "latest"
    """The checkpoint of a training that later jobs use: of the highest epoch, or of the best metric."""


class DatasetsConfig(msgspec.Struct, forbid_unknown_fields=True):
    check: Literal["auto", "off"] = "auto"
    """`auto`: check all files of a dataset in the background after each upload or link; `off`: only on request."""
    check_after_s: Annotated[float, Meta(ge=0)] = 2.0
    """Seconds without another upload before the check starts."""


class AutomlConfig(msgspec.Struct, forbid_unknown_fields=True):
    max_parallel: Count = 0
    """Most open trials of one sweep; 0: as many as the devices can run."""
    value: Literal["last", "best"] = "last"
    """The epoch whose metric is a trial's value: the last, whose checkpoint later jobs use, or the best."""
    minimise: list[str] = []
    maximise: list[str] = []
    """Metrics to minimise or maximise, if the catalogue does not know their direction or has the other one."""
    patience: Count = 0
    """Trials without improvement after which a sweep ends; 0: no such limit."""
    max_epochs: Count = 0
    """Most epochs of all trials of a sweep; 0: no limit but the algorithm's."""
    max_hours: Annotated[float, Meta(ge=0)] = 0.0
    """Hours after which a sweep starts no more trials; 0: no limit."""
    population: Annotated[int, Meta(ge=2)] = 4
    """Members of a population based training."""
    try_default: bool = True
    """Use the specification itself as the first trial, so that a sweep is never worse than no sweep."""


class NotifyTargetConfig(msgspec.Struct, forbid_unknown_fields=True):
    """One target of notifications; it has `command`, `webhook` or `apprise`."""

    name: str
    command: list[str] = []
    """Words of a program, run without a shell; it gets the notification in variables and, as JSON, on its input."""
    webhook: str = ""
    """URL that gets the notification as JSON by POST; or its source, as in `runner.docker.rule.secrets`."""
    apprise: str = ""
    """URL of the library apprise for e-mail, chat or desktop; or its source, likewise."""
    events: list[NotifyEvent] = msgspec.field(default_factory=lambda: list(NotifyEvent))
    users: list[str] = []
    """Names of the users whose jobs it gets; empty: of all users."""
    networks: list[str] = []
    """Networks whose jobs it gets, with `*` and `?`; empty: all."""

    @property
    def kind(self) -> str:
        return "command" if self.command else "webhook" if self.webhook else "apprise"


class NotifyConfig(msgspec.Struct, forbid_unknown_fields=True):
    disk_free_bytes: Count = 20 * 1024**3
    """Free bytes of the root's disk below which it counts as nearly full; 0: never."""
    timeout_s: Positive = 30.0
    """Seconds that an attempt may take."""
    give_up_hours: Positive = 24.0
    """Hours for which a notification is sent again to a target that does not take it."""
    keep_days: Positive = 30.0
    """Days for which notifications are kept in the store."""
    target: list[NotifyTargetConfig] = []


class TrackersConfig(msgspec.Struct, forbid_unknown_fields=True):
    tensorboard: str = ""
    """Folder of TensorBoard's event files; a relative path is below the root. Empty: none are written."""
    mlflow: str = ""
    """Address of MLflow: `https://…` of a server, `sqlite:///…` or another database. Empty: none."""
    wandb: str = ""
    """Folder of offline runs for `wandb sync`, as `tensorboard`. Empty: none are written."""
    timeout_s: Positive = 60.0
    """Seconds that writing one run may take."""


class LimitsConfig(msgspec.Struct, forbid_unknown_fields=True):
    body_bytes: Slots = 256 * 1024
    """Most bytes of a JSON body, except a specification."""
    spec_bytes: Slots = 2 * 1024**2
    """Most bytes of a specification in any format."""
    document_values: Slots = 20_000
    """Most values in one body, including those repeated by references."""
    document_depth: Annotated[int, Meta(ge=8, le=200)] = 64
    """Most levels of nested lists and mappings."""
    parse_s: Positive = 5.0
    """Most seconds for parsing a body."""
    upload_bytes: Slots = 512 * 1024**3
    archive_bytes: Slots = 1024 * 1024**3
    """Most bytes to which an archive may unpack."""
    archive_files: Slots = 20_000_000
    archive_ratio: Positive = 200.0
    """Most unpacked bytes for each packed one; checked beyond 64 MiB."""
    upload_expiry_s: Positive = 86_400.0
    """Seconds for which an upload in parts waits for its next part."""


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole of taod.toml."""

    server: ServerConfig = msgspec.field(default_factory=ServerConfig)
    storage: StorageConfig = msgspec.field(default_factory=StorageConfig)
    devices: DevicesConfig = msgspec.field(default_factory=DevicesConfig)
    scheduler: SchedulerConfig = msgspec.field(default_factory=SchedulerConfig)
    supervision: SupervisionConfig = msgspec.field(default_factory=SupervisionConfig)
    runner: RunnerConfig = msgspec.field(default_factory=RunnerConfig)
    tools: ToolsConfig = msgspec.field(default_factory=ToolsConfig)
    specs: SpecsConfig = msgspec.field(default_factory=SpecsConfig)
    datasets: DatasetsConfig = msgspec.field(default_factory=DatasetsConfig)
    automl: AutomlConfig = msgspec.field(default_factory=AutomlConfig)
    notify: NotifyConfig = msgspec.field(default_factory=NotifyConfig)
    trackers: TrackersConfig = msgspec.field(default_factory=TrackersConfig)
    limits: LimitsConfig = msgspec.field(default_factory=LimitsConfig)

    @property
    def root(self) -> Path:
        """The root folder, absolute."""
        chosen = self.storage.root or platformdirs.user_data_dir("taod", appauthor=False)
        return Path(chosen).expanduser().absolute()

    @property
    def tools_folder(self) -> Path:
        """The folder of tool environments, absolute."""
        chosen = self.tools.folder
        return Path(chosen).expanduser().absolute() if chosen else Root(self.root).tools

    @property
    def cache_folder(self) -> Path:
        """The folder for downloads of runs, absolute."""
        chosen = self.runner.cache
        return Path(chosen).expanduser().absolute() if chosen else Root(self.root).cache

    @property
    def tool_specs(self) -> Path | None:
        """The folder of further tool specifications, absolute."""
        return Path(self.tools.specs).expanduser().absolute() if self.tools.specs else None


def find(explicit: Path | None = None) -> Path | None:
    """The file to read: `explicit`, else ./taod.toml, else the one in the user's config folder, else None.

    Raises ConfigError if `explicit` is not a file.
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
            document = tomllib.loads(source.read_text(encoding="utf-8"))
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
            if name in environ and key not in ("docker", "native", "embedded", "slurm", "rule"):
                found[f"{section}.{key}"] = (name, _value(environ[name]))
    return found


def _value(text: str) -> Any:
    """The value of an environment variable: parsed as TOML (true, 3, [..]), otherwise a string."""
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
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        unknown = _unknown(document, Config, "")
        raise ConfigError(f"{origin}: {unknown or error}") from error
    if wrong := _wrong_variable(config.runner) or _wrong_target(config.notify) or _wrong_tracker(config.trackers):
        raise ConfigError(f"{origin}: {wrong}")
    return config


def _wrong_variable(runner: RunnerConfig) -> str:
    """The fault of the first invalid name in `runner.inherit` or `runner.environment`; empty without one."""
    for pattern in runner.inherit:
        if not re.fullmatch(rf"{_VARIABLE}\*?", pattern):
            return f"runner.inherit: {pattern!r} is no variable's name; write it as 'NAME', or 'PREFIX_*'"
        if pattern.startswith("TAOD_"):
            return f"runner.inherit: {pattern!r} is taod's own and is never inherited; leave it out"
    if wrong := _wrong_names("runner.environment", runner.environment):
        return wrong
    rules: list[tuple[str, DockerRule | SlurmRule]] = [("runner.docker.rule", each) for each in runner.docker.rule]
    rules += [("runner.slurm.rule", each) for each in runner.slurm.rule]
    for key, rule in rules:
        if wrong := _wrong_rule(f"{key} for {rule.network} {rule.action}", rule):
            return wrong
    return ""


def _wrong_names(key: str, variables: Variables) -> str:
    for name, value in variables.items():
        if not re.fullmatch(_VARIABLE, name) or "\0" in value:
            return f"{key}: {name!r} = {value!r} cannot be a variable; write it as NAME = 'value'"
        if name in LEASED or name.startswith("TAOD_"):
            return f"{key}: {name!r} is set by taod for each run; leave it out"
    return ""


def _wrong_rule(key: str, rule: DockerRule | SlurmRule) -> str:
    """The first fault in a rule's variables, secrets, mounts or network mode; empty without one."""
    names = dict.fromkeys(rule.secrets, MASK)
    if wrong := _wrong_names(f"{key}: environment", rule.environment) or _wrong_names(f"{key}: secrets", names):
        return wrong
    for name, source in rule.secrets.items():
        if not re.fullmatch(rf"\${_VARIABLE}|[~/].*", source):
            return (
                f"{key}: secrets: {name} = {MASK!r} is not where a value is; write the absolute path of a file, "
                "or '$NAME' for a variable of the daemon"
            )
        if name in rule.environment:
            return f"{key}: {name!r} is in environment and in secrets; keep one of them"
    for mount in rule.mounts if isinstance(rule, DockerRule) else []:
        if not re.fullmatch(r"[~/][^:]*(:/[^:]*)?(:(ro|rw))?", mount):
            return f"{key}: mounts: {mount!r} is not a mount; write it as '/folder' or '/folder:/in/container:ro'"
    if isinstance(rule, DockerRule) and rule.network_mode == "":
        return f"{key}: network_mode is empty; write 'none', 'bridge', 'host' or the name of a network, or leave it out"
    return ""


def _wrong_target(notify: NotifyConfig) -> str:
    """The first fault in a target of notifications, without its address; empty without one."""
    names = set[str]()
    for target in notify.target:
        key = f"notify.target {target.name!r}"
        if not re.fullmatch(r"[\w.-]{1,64}", target.name):
            return f"{key}: its name must have 1 to 64 letters, digits, '.', '_' or '-'"
        if target.name in names:
            return f"{key} is there twice; rename one of them"
        names.add(target.name)
        if [bool(target.command), bool(target.webhook), bool(target.apprise)].count(True) != 1:
            return f"{key} must have exactly one of command, webhook and apprise"
        if any("\0" in word for word in target.command) or (target.command and not target.command[0]):
            return f"{key}: its command cannot be run; write it as ['program', 'argument']"
        for field, address, schemes in (
            ("webhook", target.webhook, "https?"),
            ("apprise", target.apprise, "[a-z0-9]+"),
        ):
            if address and not re.match(rf"{schemes}://|\${_VARIABLE}\Z|[~/]", address, re.IGNORECASE):
                return f"{key}: its {field} is not a URL; write one, the path of a file with one, or '$VARIABLE'"
    return ""


def _wrong_tracker(trackers: TrackersConfig) -> str:
    """The first fault in a tracker's address; empty without one."""
    if trackers.mlflow and not re.match(r"[a-z][a-z0-9+]*://", trackers.mlflow):
        return (
            f"trackers.mlflow = {trackers.mlflow!r} is not an address; write https://… or sqlite:////absolute/path.db"
        )
    if "@" in urlsplit(trackers.mlflow).netloc:
        return (
            "trackers.mlflow has a user or a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, for the daemon instead"
        )
    return ""


def _unknown(document: Any, kind: Any, prefix: str) -> str | None:
    """Message about the first unknown key, with the nearest known one; None without an unknown key."""
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
