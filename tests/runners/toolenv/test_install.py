"""Installing a tool with real pip into a real virtual environment, from a folder of tiny wheels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from runners.toolenv.check import check
from runners.toolenv.environments import LOG, MARKER, Environments
from runners.toolenv.install import InstallFailed
from runners.toolenv.spec import Probe, Step, ToolSpec
from taod.errors import BadRequest, Conflict, NoSpace, NotFound
from taod.types.tool import ActionCheck, Environment, ToolProgress, ToolState
from tests.patience import PATIENCE_S

from .wheels import MACHINE, PYTHON, index, pip_settings, tool_spec, wheel

pytestmark = pytest.mark.slow

Install = Callable[..., Environment]
GPU = msgspec.structs.replace(MACHINE, gpus=1, cuda=13, driver="580.65")
REPOSITORY = Path(__file__).parents[3]


def test_an_installed_tool_offers_the_actions_that_can_be_imported(
    install: Install, environments: Environments, reports: list[ToolProgress]
) -> None:
    made = install(report=reports.append)
    assert made.state is ToolState.READY
    assert made.name == "tiny-7.3.0" and Path(made.path) == environments.folder / "tiny-7.3.0"
    assert made.packages["tiny-tool"] == "7.3.0" and made.packages["tiny-library"] == "1.0"
    assert made.python.startswith(f"{PYTHON}.") and made.size_bytes > 10**6
    assert made.consent is not None and made.consent.accepted_by == "tester"
    assert made.variables == {"TINY_TOOL": "set"}
    net_a, net_b = made.entry_points
    assert net_a.actions == [ActionCheck("evaluate", True), ActionCheck("train", True)]
    assert [action.name for action in net_b.actions if action.ok] == ["evaluate", "train"]
    export = next(action for action in net_b.actions if not action.ok)
    assert export.name == "export" and "No module named 'a_package_that_is_missing' (export.py:1)" in export.reason
    assert environments.find("net_b", "train") == made
    assert environments.find("net_b", "export") is None and environments.find("net_c", "train") is None
    titles = list(dict.fromkeys((each.step, each.steps, each.title) for each in reports))
    assert titles == [(1, 4, "virtual environment"), (2, 4, "library"), (3, 4, "tool"), (4, 4, "check")]
    assert {each.detail for each in reports if each.title == "check"} == {"net_a", "net_b"}
    assert any(each.detail == "installing 1 package" for each in reports)

    # A second time nothing is done; a check repeats what was found.
    assert install(consent=None) == made
    Path(made.path, f"lib/python{PYTHON}/site-packages/tiny_library.py").unlink()
    checked = check(made, Probe(all_or_none=False), lambda entry: None)
    assert not checked.offers("net_a", "train") and checked.offers("net_a", "evaluate")
    whole = check(made, Probe(), lambda entry: None)
    assert not whole.offers("net_a", "evaluate")
    evaluate = whole.entry_points[0].actions[0]
    assert evaluate.reason.startswith("net_a imports train for every action: ModuleNotFoundError")

    environments.remove(made.name)
    assert environments.all() == [] and not Path(made.path).exists()
    with pytest.raises(NotFound, match="installed: none"):
        environments.remove(made.name)


def test_after_an_action_that_cannot_be_imported_no_other_one_is_tried_where_it_affects_all(
    made: Environment, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    scripts = Path(made.path, f"lib/python{PYTHON}/site-packages/tiny_tool/net_b/scripts")
    (scripts / "train.py").write_text(f"open({str(tried)!r}, 'w').close()\n")
    net_b = check(made, Probe(), lambda entry: None).entry_points[1]
    reasons = [action.reason.partition(":")[0] for action in net_b.actions]
    every = "net_b imports export for every action"
    assert reasons == [every, "ModuleNotFoundError", every] and not any(action.ok for action in net_b.actions)
    assert not tried.exists()
    assert check(made, Probe(all_or_none=False), lambda entry: None).offers("net_b", "train") and tried.exists()


def test_a_crash_of_one_import_concerns_its_entry_point_alone(made: Environment) -> None:
    scripts = Path(made.path, f"lib/python{PYTHON}/site-packages/tiny_tool/net_b/scripts/export.py")
    scripts.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    net_a, net_b = check(made, Probe(), lambda entry: None).entry_points
    assert net_a.offers("train")
    assert net_b.actions == [] and net_b.reason == "its import ended by SIGSEGV"
    scripts.write_text("raise SystemExit(3)\n")
    net_b = check(made, Probe(), lambda entry: None).entry_points[1]
    assert not net_b.offers("train") and "SystemExit: 3" in net_b.actions[1].reason


def test_imports_may_print_any_amount(made: Environment) -> None:
    scripts = Path(made.path, f"lib/python{PYTHON}/site-packages/tiny_tool/net_b/scripts/export.py")
    scripts.write_text(
        "import sys\nfor stream in (sys.stdout, sys.stderr):\n    stream.write('warning\\n' * 100_000)\n"
    )
    assert check(made, Probe(), lambda entry: None).entry_points[1].offers("export")


def test_the_imports_end_with_an_interrupted_check(made: Environment) -> None:
    scripts = Path(made.path, f"lib/python{PYTHON}/site-packages/tiny_tool/net_b/scripts/export.py")
    scripts.write_text("import time\ntime.sleep(600)\n")

    def interrupt(entry: str) -> None:
        if entry == "net_b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(made, Probe(), interrupt)
    deadline = time.monotonic() + PATIENCE_S
    while [each for each in psutil.process_iter(["cmdline"]) if made.path in " ".join(each.info["cmdline"] or [])]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_cpu_build_is_installed_where_the_index_has_it_and_the_layer_is_in_force(
    install: Install, tmp_path: Path
) -> None:
    packages = index(tmp_path / "packages")
    wheel(packages, "tiny-library", "1.0+cpu", {"tiny_library.py": "BUILD = 'cpu'\n"})
    made = install(cpu=True, environ=os.environ | pip_settings(packages))
    assert made.name == "tiny-7.3.0-cpu" and made.cpu and made.label == "tiny-tool 7.3.0 (CPU layer)"
    assert made.packages["tiny-library"] == "1.0+cpu"
    assert made.notices == ["runs on the CPU through taod's compatibility layer: slow, for trials and tests"]
    python = f"{made.path}/bin/python"
    done = subprocess.run([python, "-c", "import taod_cpu_layer, sys; print(sys.meta_path[0])"], capture_output=True)
    assert b"_AfterImport" in done.stdout
    listed = subprocess.run([f"{made.path}/bin/nvidia-smi", "-L"], capture_output=True, check=True)
    assert listed.stdout.count(b"UUID") == 1


def test_without_a_cpu_build_the_usual_one_is_installed_and_noted(made: Environment) -> None:
    assert made.packages["tiny-library"] == "1.0"
    assert any("no CPU build (tiny-library==1.0+cpu)" in each for each in made.notices)
    assert any("no GPU was found here" in each for each in made.notices)


def test_on_a_gpu_the_cuda_build_is_taken(install: Install, tmp_path: Path) -> None:
    packages = index(tmp_path / "packages")
    wheel(packages, "tiny-library", "1.0+cpu", {"tiny_library.py": "BUILD = 'cpu'\n"})
    spec = tool_spec(step=[Step("library", ["tiny-library===1.0"], cpu=["tiny-library==1.0+cpu"]), tool_spec().step[1]])
    made = install(spec, environ=os.environ | pip_settings(packages), machine=lambda folder: GPU)
    assert made.packages["tiny-library"] == "1.0" and made.notices == []


def test_nothing_is_created_without_consent(install: Install, environments: Environments) -> None:
    with pytest.raises(BadRequest, match=r"licence of tiny-tool \(Tiny Licence\) was not accepted.*--accept-license"):
        install(consent=None)
    assert not environments.folder.exists()


def test_nothing_is_created_on_a_disk_that_is_too_small(install: Install, environments: Environments) -> None:
    small = msgspec.structs.replace(MACHINE, free_bytes=29 * 10**6)
    with pytest.raises(NoSpace, match=r"needs 0.0 GB of disk and 0.0 GB are free; free some, or set tools.folder"):
        install(machine=lambda folder: small)
    assert not environments.folder.exists()


def test_the_larger_build_is_not_started_where_only_the_cpu_build_fits(install: Install) -> None:
    enough_for_cpu = msgspec.structs.replace(MACHINE, free_bytes=31 * 10**6)
    with pytest.raises(NoSpace):
        install(tool_spec(disk_mb=90), machine=lambda folder: enough_for_cpu)


def test_a_python_of_another_version_is_rejected(install: Install, environments: Environments) -> None:
    with pytest.raises(BadRequest, match=rf"--python .*: is CPython {PYTHON}.*needs CPython 2.7; name another"):
        install(tool_spec(python="2.7"), python=sys.executable)
    with pytest.raises(BadRequest, match="it cannot be run as a Python"):
        install(python="/nowhere/python")
    with pytest.raises(BadRequest, match=r"no CPython 2.7 was found .*uv python install 2.7.*--python PATH"):
        install(tool_spec(python="2.7"), environ={"PATH": os.environ["PATH"], "HOME": "/nowhere"})
    assert environments.all() == []


def test_a_failed_step_names_its_cause_and_its_log_and_is_resumed(
    install: Install, environments: Environments, packages: Path
) -> None:
    missing = tool_spec(step=[*tool_spec().step, Step("more", ["tiny-missing==1.0"])])
    with pytest.raises(InstallFailed, match=r"tiny-7.3.0: step 4 \(more\) failed: .*tiny-missing==1.0") as failed:
        install(missing)
    assert str(environments.path("tiny-7.3.0") / LOG) in str(failed.value)
    (left,) = environments.all()
    assert (left.state, left.steps_done, left.steps) == (ToolState.INCOMPLETE, 3, 5)
    assert environments.ready() == [] and environments.find("net_a", "train") is None
    wheel(packages, "tiny-missing", "1.0", {"tiny_missing.py": ""})
    try:
        made = install(missing)
    finally:
        (packages / "tiny_missing-1.0-py3-none-any.whl").unlink()
    assert made.packages["tiny-missing"] == "1.0"
    log = Path(made.path, LOG).read_text()
    assert log.count("-m venv") == 1 and log.count("install --no-deps tiny-tool") == 1


def test_steps_that_did_not_change_are_not_run_again(install: Install, packages: Path) -> None:
    library, tool = tool_spec().step
    with pytest.raises(InstallFailed, match=r"step 4 \(more\)"):
        install(tool_spec(step=[library, tool, Step("more", ["tiny-missing==1.0"])]))
    made = install(tool_spec(step=[library, msgspec.structs.replace(tool, options=[])]))
    log = Path(made.path, LOG).read_text()
    assert log.count("-m venv") == 1 and log.count("install tiny-library==1.0\n") == 1
    assert log.count("install --no-deps tiny-tool==7.3.0\n") == log.count("install tiny-tool==7.3.0\n") == 1


def test_an_optional_step_that_fails_is_noted(install: Install) -> None:
    made = install(tool_spec(step=[*tool_spec().step, Step("more", ["tiny-missing==1.0"], optional=True)]))
    assert any(each.startswith("without more, which could not be installed (") for each in made.notices)


def test_a_tool_of_which_nothing_can_be_imported_is_never_ready(install: Install, environments: Environments) -> None:
    with pytest.raises(InstallFailed, match=r"\(check\) failed: no action can be imported: tiny-library has no entry"):
        install(tool_spec(package="tiny-library"))
    assert environments.ready() == []


def test_an_installation_that_is_killed_is_resumed_at_its_step(
    install: Install, environments: Environments, tmp_path: Path
) -> None:
    packages = index(tmp_path / "packages")
    slow = _blocking_wheel(packages)
    spec = tool_spec(step=[tool_spec().step[0], Step("slow", ["tiny-slow==1.0"]), tool_spec().step[1]])
    process = _install_in_another_process(environments, spec, packages, tmp_path)
    try:
        _until(lambda: _is_at(environments, slow), process)
        with pytest.raises(Conflict, match=f"tiny-7.3.0 is being installed by process {process.pid}"):
            install(spec, environ=os.environ | pip_settings(packages))
        assert environments.get("tiny-7.3.0").state is ToolState.INSTALLING
    finally:
        process.kill()
        process.wait()
    # Its pip is killed with it; until then the lock is held.
    _until(lambda: environments.get("tiny-7.3.0").state is ToolState.INCOMPLETE)
    left = environments.get("tiny-7.3.0")
    assert left.steps_done == 2 and environments.find("net_a", "train") is None
    slow.unlink()
    wheel(packages, "tiny-slow", "1.0", {"tiny_slow.py": ""})
    made = install(spec, environ=os.environ | pip_settings(packages))
    assert made.state is ToolState.READY and made.packages["tiny-slow"] == "1.0"
    log = Path(made.path, LOG).read_text()
    assert log.count("install tiny-library==1.0\n") == 1 and log.count("install tiny-slow==1.0\n") == 2


def test_an_interruption_ends_pip_and_is_resumed(environments: Environments, tmp_path: Path) -> None:
    packages = index(tmp_path / "packages")
    slow = _blocking_wheel(packages)
    spec = tool_spec(step=[Step("slow", ["tiny-slow==1.0"])])
    process = _install_in_another_process(environments, spec, packages, tmp_path)
    _until(lambda: _is_at(environments, slow), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) != 0
    assert environments.get("tiny-7.3.0").state is ToolState.INCOMPLETE


def _blocking_wheel(packages: Path) -> Path:
    """A package that pip waits for: opening a FIFO blocks until a writer opens it."""
    path = packages / "tiny_slow-1.0-py3-none-any.whl"
    os.mkfifo(path)
    return path


def _is_at(environments: Environments, package: Path) -> bool:
    """Whether pip reads a package."""
    log = environments.path("tiny-7.3.0") / LOG
    return log.exists() and f"Processing {package}" in log.read_text()


def test_an_environment_in_use_is_not_removed(shared: tuple[Environments, Environment]) -> None:
    environments, made = shared
    user = subprocess.Popen([f"{made.path}/bin/python", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with pytest.raises(Conflict, match=f"tiny-7.3.0 is in use by process {user.pid}"):
            environments.remove(made.name)
    finally:
        user.communicate()
    assert Path(made.path, MARKER).exists()


def _install_in_another_process(
    environments: Environments, spec: ToolSpec, packages: Path, tmp_path: Path
) -> subprocess.Popen[bytes]:
    """An installation in a process of its own."""
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    # A suite that was started in the background ignores SIGINT, and so would its children.
    program = f"""
import signal
import msgspec
from pathlib import Path
from runners.toolenv.environments import Environments
from runners.toolenv.install import Installer
from runners.toolenv.machine import Machine
from runners.toolenv.spec import ToolSpec
from taod.types.tool import Consent
signal.signal(signal.SIGINT, signal.default_int_handler)
spec = msgspec.json.decode(Path({str(tmp_path / "spec.json")!r}).read_bytes(), type=ToolSpec)
machine = Machine(processor="x86_64", free_bytes=10**12)
environments = Environments(Path({str(environments.folder)!r}))
installer = Installer(environments, spec, cpu=False, report=lambda at: None, machine=lambda folder: machine)
installer.install(Consent("Tiny Licence", "now", "tester"))
"""
    environ = os.environ | pip_settings(packages)
    return subprocess.Popen([sys.executable, "-c", program], env=environ, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for a condition; the test's own limit ends a wait that is too long."""
    while not true():
        assert process is None or process.poll() is None, "the installation ended before it was interrupted"
        time.sleep(0.02)
