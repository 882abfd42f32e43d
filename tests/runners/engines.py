"""A container engine and a cluster of one node, of the tests' own: real ones, in folders of their own, then gone."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOL = Path(__file__).parent / "tao_tool.sh"
IMAGE = "taod-test:1"
READY_S = 30
APPLETS = ("cat", "chmod", "date", "env", "head", "id", "kill", "ls", "mkdir", "sh", "sleep", "tail", "touch")


def need(*programs: str) -> None:
    """Skip where one is missing, or where this user may not start such daemons."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} on this machine")
    if os.geteuid() != 0:
        pytest.skip("starting the tests' own engine needs root")


def eventually(holds: Callable[[], bool], what: str, why: Callable[[], str] = str) -> None:
    """For a daemon that does not report when it is ready."""
    deadline = time.monotonic() + READY_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.skip(f"{what} did not come up in {READY_S} s: {why()}")
        time.sleep(0.05)


class Dockerd:
    """A Docker engine without networks, over a folder; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/docker.sock"
        self.registry_port = _free_ports(1)[0]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *, live_restore: bool = True) -> None:
        """As services are: containerd is a process beside dockerd, and outlives it."""
        folder = self.folder
        if "containerd" not in self._processes:
            settings = folder / "containerd.toml"
            settings.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
            self._run(
                *("containerd", "--config", str(settings), "--log-level", "warn", "--root", f"{folder}/containerd"),
                *("--state", f"{folder}/containerd-state", "--address", f"{folder}/containerd.sock"),
            )
            eventually((folder / "containerd.sock").exists, "containerd", self.log)
        self._run(
            *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"),
            *(f"--data-root={folder}/data", f"--exec-root={folder}/exec", "-H", self.url),
            *(f"--pidfile={folder}/docker.pid", f"--live-restore={str(live_restore).lower()}"),
            *("--containerd", f"{folder}/containerd.sock"),
        )
        eventually(self._answers, "dockerd", self.log)

    def kill(self) -> None:
        """As a crash: containers live on under their own supervisors."""
        dockerd = self._processes.pop("dockerd")
        dockerd.kill()
        dockerd.wait()
        (self.folder / "docker.pid").unlink(missing_ok=True)

    def docker(self, *words: str, given: bytes = b"") -> str:
        """What Docker's own command line prints; a failure shows its message and what became of the engine."""
        done = subprocess.run(["docker", "-H", self.url, *words], input=given, capture_output=True, check=False)
        codes = {name: process.poll() for name, process in self._processes.items()}
        assert not done.returncode, f"{words}: {done.stderr.decode()}exit codes: {codes}\n{self.log(lines=40)}"
        return done.stdout.decode().strip()

    def stop(self) -> None:
        try:
            if left := self.docker("ps", "--all", "--quiet").split():
                self.docker("rm", "--force", *left)
        finally:
            for process in reversed(self._processes.values()):
                process.terminate()
                try:
                    process.wait(READY_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def log(self, lines: int = 3) -> str:
        return "".join((self.folder / "engine.log").read_text().splitlines(keepends=True)[-lines:])

    def _run(self, *words: str) -> None:
        with (self.folder / "engine.log").open("ab") as log:
            self._processes[words[0]] = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        if self._processes["dockerd"].poll() is not None:
            pytest.skip(f"dockerd does not run on this machine: {self.log()}")
        answer = subprocess.run(["docker", "-H", self.url, "version"], capture_output=True, check=False)
        return answer.returncode == 0


@contextmanager
def dockerd() -> Iterator[Dockerd]:
    """A running engine that has IMAGE."""
    need("dockerd", "containerd", "docker", "busybox")
    with _folder("taod-docker-") as folder:
        engine = Dockerd(folder)
        try:
            engine.start()
            build_image(engine, IMAGE)
            yield engine
        finally:
            engine.stop()


def build_image(engine: Dockerd | Podman, name: str, tool: Path = TOOL, ballast: int = 0) -> None:
    """An image for this engine, as `packed_image` makes it, without a registry."""
    engine.docker("import", "-", name, given=packed_image(engine.folder / "image", tool, ballast))


def packed_image(files: Path, tool: Path = TOOL, ballast: int = 0) -> bytes:
    """The tar of an image's files: busybox and the tool under the names of some networks.

    `ballast`: bytes that no archive makes smaller, for a download that takes a moment.
    """
    for below in ("bin", "tmp", "usr/local/bin"):
        (files / below).mkdir(parents=True, exist_ok=True)
    (files / "tmp").chmod(0o1777)
    shutil.copy(shutil.which("busybox") or "", files / "bin/busybox")
    for applet in APPLETS:
        if not (files / "bin" / applet).exists():
            (files / "bin" / applet).symlink_to("busybox")
    for network in ("classification_pyt", "dino"):
        shutil.copy(tool, files / "usr/local/bin" / network)
    (files / "ballast").write_bytes(os.urandom(ballast))
    return subprocess.run(["tar", "-C", str(files), "-c", "."], capture_output=True, check=True).stdout


class Podman:
    """Podman's Docker-compatible service over a folder. It has no daemon: its containers live on when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/podman.sock"
        self.registry_port = _free_ports(1)[0]
        self.environment = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        }
        self._service: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # Its own defaults may be above what this process is allowed; a machine without systemd has no other groups.
        (self.folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={hard}:{hard}", "nproc=4096:4096"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
        )
        # Docker trusts any address of this machine without TLS, podman needs each in its configuration.
        (self.folder / "registries.conf").write_text(
            f'[[registry]]\nlocation = "127.0.0.1:{self.registry_port}"\ninsecure = true\n'
        )
        with (self.folder / "podman.log").open("ab") as log:
            self._service = subprocess.Popen(
                [*self._podman(), "system", "service", "--time=0", self.url],
                stdout=log, stderr=log, env=self.environment, start_new_session=True,
            )  # fmt: skip
        eventually((self.folder / "podman.sock").exists, "podman", (self.folder / "podman.log").read_text)

    def docker(self, *words: str, given: bytes = b"") -> str:
        """Podman's own command line, which has Docker's words."""
        done = subprocess.run(
            [*self._podman(), *words], input=given, capture_output=True, check=True, env=self.environment
        )
        return done.stdout.decode().strip()

    def stop(self) -> None:
        try:
            if self._service is not None:
                self.docker("rm", "--all", "--force", "--time=0")
        finally:
            if self._service is not None:
                self._service.terminate()
                self._service.wait()

    def _podman(self) -> list[str]:
        folder = self.folder
        return ["podman", f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs"]


@contextmanager
def podman() -> Iterator[Podman]:
    """A running service that has IMAGE, if containers can be run by it here."""
    need("podman", "runc", "busybox")
    with _folder("taod-podman-") as folder:
        engine = Podman(folder)
        try:
            engine.start()
            build_image(engine, IMAGE)
            try:
                engine.docker("run", "--rm", "--network=none", IMAGE, "sh", "-c", ":")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"podman runs no containers on this machine: {error.stderr.decode()[-300:].strip()}")
            yield engine
        finally:
            engine.stop()


@contextmanager
def registry(port: int) -> Iterator[str]:
    """An empty registry of images on this machine, without TLS; gives its address."""
    need("docker-registry")
    with _folder("taod-registry-") as folder:
        settings = folder / "registry.yml"
        settings.write_text(
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/images\n"
            f"http:\n  addr: 127.0.0.1:{port}\n"
        )
        with (folder / "registry.log").open("ab") as log:
            process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=log, stderr=log)
        try:
            eventually(lambda: _listens(port), "docker-registry", (folder / "registry.log").read_text)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A Slurm of one node with two GPUs (that are none) over a folder, with ports and a munge of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = os.environ | {"SLURM_CONF": str(self.conf)}
        self._munged = 0

    def start(self) -> None:
        self._start_munge()
        self._configure()
        self.start_controller()
        self._run("slurmd", "-f", str(self.conf))
        eventually(lambda: self.ask("sinfo", "-h", "-o", "%t") == "idle", "the cluster", self._log)

    def start_controller(self) -> None:
        self._run("slurmctld", "-f", str(self.conf))

    def stop_controller(self) -> None:
        _end(int((self.folder / "slurmctld.pid").read_text()))

    def ask(self, *words: str) -> str:
        """What a command of the cluster prints; empty where it fails."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False).stdout.strip()

    def stop(self) -> None:
        self.ask("scancel", "--full", "--signal=KILL", "--user=root")
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            path = self.folder / name
            if path.exists():
                _end(int(path.read_text()))

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir()
        (folder / "key").write_bytes(os.urandom(1024))
        (folder / "key").chmod(0o400)
        for path in (folder / "key", folder):
            shutil.chown(path, "munge", "munge")
        self._run(
            *("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "munged", "--force"),
            *(f"--socket={folder}/sock", f"--key-file={folder}/key", f"--pid-file={folder}/pid"),
            *(f"--log-file={folder}/log", f"--seed-file={folder}/seed"),
        )

    def _configure(self) -> None:
        host, folder = socket.gethostname().split(".")[0], self.folder
        controller, node = _free_ports(2)
        (folder / "spool").mkdir()
        (folder / "state").mkdir()
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        self.conf.write_text(
            f"ClusterName=taodtest\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nAuthType=auth/munge\n"
            f"AuthInfo=socket={folder}/munge/sock\nSlurmctldPort={controller}\nSlurmdPort={node}\n"
            f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n"
            f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid\n"
            f"SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
            "SelectTypeParameters=CR_Core\nMpiDefault=none\nGresTypes=gpu\nReturnToService=2\nKillWait=2\nMessageTimeout=3\n"
            "SlurmdParameters=config_overrides\nOverTimeLimit=0\nPreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n"
            "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1\n"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs=8 Gres=gpu:2 State=UNKNOWN\n"
            f"PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1\n"
            f"PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF\n"
        )

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{words[0]} does not run on this machine: {done.stderr.strip()[-300:]}")

    def _log(self) -> str:
        return "".join(
            "".join((self.folder / name).read_text().splitlines(keepends=True)[-3:])
            for name in ("slurmctld.log", "slurmd.log")
            if (self.folder / name).exists()
        )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster whose node is idle."""
    need("slurmctld", "slurmd", "sbatch", "munged", "setpriv")
    with _folder("taod-slurm-") as folder:
        made = Cluster(folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """A short path, because sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([path for path in mounted if path.startswith(f"{folder}/")]):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _end(pid: int) -> None:
    """End a process that is no child of this one, and wait for it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], 10)[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 10)
    finally:
        os.close(descriptor)
