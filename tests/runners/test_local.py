"""The local runner against real processes: exit codes, stops, claims, recovery and adoption."""

# ruff: noqa: ASYNC220, ASYNC240, ASYNC251 - a test may block its own loop while it plays the outside world

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runners import cgroup, processes
from runners.local import LocalRunner
from runners.protocol import Claim, Command, Launch, RunEnd, RunIdentity, RunRequest, StartFailed, Verdict
from tests.patience import PATIENCE_S


class ShellRunner(LocalRunner):
    """Runs the command line as it is."""

    name = "shell"

    def can(self, network: str, action: str, spec: dict[str, Any] | None = None) -> Verdict:
        return Verdict(True)

    def describe(self, request: RunRequest) -> Launch:
        return Launch(request.command.argv, request.command.environment)

    def inherited(self) -> dict[str, str]:
        return dict(os.environ)


@pytest.fixture
def runner() -> ShellRunner:
    return ShellRunner()


def run_of(folder: Path, *argv: str, attempt: int = 1) -> RunRequest:
    return RunRequest(job_of(folder), attempt, Command("net", "train", list(argv), image=""), str(folder))


def job_of(folder: Path) -> str:
    """An id of the folder's own: tests that run side by side must not find each other's processes."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(folder)))


def shell(folder: Path, text: str, **more: Any) -> RunRequest:
    return run_of(folder, "/bin/sh", "-c", text, **more)


def python(folder: Path, text: str, **more: Any) -> RunRequest:
    return run_of(folder, sys.executable, "-c", text, **more)


async def appears(path: Path) -> str:
    """What the tool wrote to `path`, once it is there (inotify)."""
    from watchfiles import awatch

    async def look() -> str:
        if path.exists():
            return path.read_text()
        async for _ in awatch(path.parent, step=10, debounce=20, rust_timeout=50, yield_on_timeout=True):
            if path.exists():
                return path.read_text()
        raise AssertionError

    return await asyncio.wait_for(look(), PATIENCE_S)


async def ended(runner: LocalRunner, identity: RunIdentity, request: RunRequest) -> RunEnd:
    return await asyncio.wait_for(runner.wait(identity, request), PATIENCE_S)


def alive(pid: int) -> bool:
    return processes.start_ticks(pid) is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -SEGV $$", 139), ("kill -TERM $$", 143)],
)
async def test_the_exit_code_is_the_tools(runner: ShellRunner, tmp_path: Path, text: str, code: int) -> None:
    request = shell(tmp_path, text)
    identity = await runner.start(request)
    assert await ended(runner, identity, request) == RunEnd(code)


async def test_a_program_that_is_not_there_ends_with_127_and_says_so_in_the_log(
    runner: ShellRunner, tmp_path: Path
) -> None:
    request = run_of(tmp_path, "/nowhere/dino", "train")
    identity = await runner.start(request)
    assert (await ended(runner, identity, request)).exit_code == 127
    assert "/nowhere/dino" in request.job_folder.log.read_text()


async def test_output_of_every_attempt_is_appended_to_the_log_and_input_is_empty(
    runner: ShellRunner, tmp_path: Path
) -> None:
    for attempt in (1, 2):
        request = shell(tmp_path, f"cat; echo out {attempt}; echo err {attempt} >&2", attempt=attempt)
        await ended(runner, await runner.start(request), request)
    assert request.job_folder.log.read_text() == "out 1\nerr 1\nout 2\nerr 2\n"


async def test_the_wrapper_shows_no_word_of_the_command_line(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "tr '\\0' ' ' </proc/$PPID/cmdline; env | grep -c TAOD_COMMAND", attempt=1)
    request.command.argv.append("--key=hidden words")
    await ended(runner, await runner.start(request), request)
    said = request.job_folder.log.read_text()
    assert str(request.run_folder.path) in said and "hidden" not in said and said.endswith("0\n")


async def test_arguments_and_environment_arrive_as_they_are(runner: ShellRunner, tmp_path: Path) -> None:
    words = ["a b", "", "$HOME", "it's", "*", "new\nline"]
    text = "import os, sys; print(sys.argv[1:], os.environ['TAOD_RUN'], os.getcwd())"
    request = run_of(tmp_path, sys.executable, "-c", text, *words)
    await ended(runner, await runner.start(request), request)
    assert request.job_folder.log.read_text() == f"{words} {request.job_id}/1 {tmp_path}\n"


async def test_the_tool_has_default_signals_and_no_descriptor_of_the_daemon(
    runner: ShellRunner, tmp_path: Path
) -> None:
    text = (
        "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler,"
        " [signal.getsignal(s) is signal.SIG_DFL for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)],"
        " sorted(map(int, os.listdir('/proc/self/fd')))[:4])"
    )
    request = python(tmp_path, text)
    # A test run in the background of a script, or under nohup, is itself started with these ignored.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        await ended(runner, await runner.start(request), request)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # 0-2, and the descriptor of the listing itself.
    assert request.job_folder.log.read_text() == "True [True, True, True] [0, 1, 2, 3]\n"


async def test_a_daemon_that_stops_while_a_run_starts_is_not_held_up(
    runner: ShellRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable = processes.readable

    async def start_and_watch() -> None:
        await runner.start(shell(tmp_path, "sleep 60"))
        await asyncio.Event().wait()

    async def readable_as_the_daemon_stops(fd: int) -> None:
        await readable(fd)
        starting.cancel()

    monkeypatch.setattr(processes, "readable", readable_as_the_daemon_stops)
    starting = asyncio.create_task(start_and_watch())
    done, _ = await asyncio.wait({starting}, timeout=PATIENCE_S)
    processes.kill_all(f"TAOD_RUN={job_of(tmp_path)}/1", None)
    assert done and starting.cancelled()


async def test_sigterm_reaches_the_tool_and_the_wrapper_lives_to_record_its_end(
    runner: ShellRunner, tmp_path: Path
) -> None:
    request = shell(tmp_path, "trap 'echo saved; exit 7' TERM; touch ready; while :; do sleep 0.05; done")
    identity = await runner.start(request)
    await appears(tmp_path / "ready")
    await runner.stop(identity, request, force=False)
    assert await ended(runner, identity, request) == RunEnd(7)
    assert "saved" in request.job_folder.log.read_text()


@pytest.mark.parametrize(("release", "code"), [("5.0", 143), ("7.3", 0)])
async def test_from_release_7_3_on_sigterm_goes_to_the_training_and_not_to_its_launcher(
    runner: ShellRunner, tmp_path: Path, release: str, code: int
) -> None:
    training = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
        "pathlib.Path('ready').touch()\n"
        "while True: time.sleep(0.05)\n"
    )
    launcher = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode)"
    command = Command("net", "train", [sys.executable, "-c", launcher, training], image="", release=release)
    request = msgspec.structs.replace(run_of(tmp_path, ""), command=command)
    identity = await runner.start(request)
    await appears(tmp_path / "ready")
    await runner.stop(identity, request, force=False)
    assert await ended(runner, identity, request) == RunEnd(code)


async def test_a_signal_to_the_whole_group_from_outside_does_not_end_the_wrapper(
    runner: ShellRunner, tmp_path: Path
) -> None:
    request = shell(tmp_path, "trap 'exit 9' TERM; touch ready; while :; do sleep 0.05; done")
    identity = await runner.start(request)
    await appears(tmp_path / "ready")
    assert identity.pid is not None
    os.killpg(identity.pid, signal.SIGTERM)
    assert await ended(runner, identity, request) == RunEnd(9)


@pytest.mark.parametrize("round_", range(5))
async def test_a_stop_right_after_the_start_is_not_lost(runner: ShellRunner, tmp_path: Path, round_: int) -> None:
    request = run_of(tmp_path, "/bin/sleep", "100")
    identity = await runner.start(request)
    await runner.stop(identity, request, force=False)
    assert await ended(runner, identity, request) == RunEnd(143)


async def test_a_tool_that_ignores_sigterm_is_killed_by_force_and_137_is_recorded(
    runner: ShellRunner, tmp_path: Path
) -> None:
    request = python(
        tmp_path,
        "import pathlib, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('ready').touch()\nwhile True: signal.pause()",
    )
    identity = await runner.start(request)
    await appears(tmp_path / "ready")
    await runner.stop(identity, request, force=False)
    assert identity.pid is not None and alive(identity.pid)
    await runner.stop(identity, request, force=True)
    assert await ended(runner, identity, request) == RunEnd(137)


async def test_force_kills_every_process_of_the_run(runner: ShellRunner, tmp_path: Path) -> None:
    request = python(
        tmp_path,
        "import os, pathlib, signal, subprocess, sys, time\n"
        "kids = [subprocess.Popen(['sleep', '100']) for _ in range(5)]\n"
        "pathlib.Path('kids.new').write_text(' '.join(str(kid.pid) for kid in kids))\n"
        "os.rename('kids.new', 'kids')\n"
        "time.sleep(100)",
    )
    identity = await runner.start(request)
    kids = [int(pid) for pid in (await appears(tmp_path / "kids")).split()]
    await runner.stop(identity, request, force=True)
    assert await ended(runner, identity, request) == RunEnd(137)
    assert not any(alive(kid) for kid in kids)


ESCAPE = """
import os, pathlib, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path("away.new").write_text(str(os.getpid()))
        os.rename("away.new", "away")
        time.sleep(100)
    os._exit(0)
"""


async def test_one_that_escaped_its_session_is_killed_by_force(runner: ShellRunner, tmp_path: Path) -> None:
    request = python(tmp_path, ESCAPE + "time.sleep(100)")
    identity = await runner.start(request)
    away = int(await appears(tmp_path / "away"))
    assert os.getsid(away) != identity.pid
    await runner.stop(identity, request, force=True)
    assert (await ended(runner, identity, request)).exit_code == 137
    assert not alive(away)


async def test_what_a_tool_leaves_behind_is_killed_when_it_ends(runner: ShellRunner, tmp_path: Path) -> None:
    request = python(tmp_path, ESCAPE + "while not os.path.exists('away'): time.sleep(0.01)\nprint('done')")
    identity = await runner.start(request)
    assert await ended(runner, identity, request) == RunEnd(0)
    assert not alive(int((tmp_path / "away").read_text()))


async def test_what_is_older_than_a_run_is_not_its_own(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "sleep 60")
    identity = await runner.start(request)
    mark = f"TAOD_RUN={request.job_id}/1"
    assert identity.pid in processes.members(mark, since_ticks=identity.start_ticks)
    assert processes.members(mark, identity.pid, since_ticks=2**62) == []
    await runner.stop(identity, request, force=True)
    await ended(runner, identity, request)


async def test_one_that_cleared_its_environment_is_found_by_its_session(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "env -i /bin/sleep 100 & echo $! >kid; exit 0")
    identity = await runner.start(request)
    assert await ended(runner, identity, request) == RunEnd(0)
    assert not alive(int((tmp_path / "kid").read_text()))


HIDE = """
import os, sys, time
reading, writing = os.pipe()
os.set_inheritable(writing, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        say = "import os, time\\nopen('away.new', 'w').write(str(os.getpid()))\\nos.rename('away.new', 'away')\\n"
        os.execve(sys.executable, [sys.executable, "-c", say + f"os.close({writing})\\ntime.sleep(100)"], {})
    os._exit(0)
os.close(writing)
os.read(reading, 1)
"""
"""A process that leaves its session and clears its environment."""


async def test_one_that_left_session_and_environment_is_found_by_its_group(runner: ShellRunner, tmp_path: Path) -> None:
    if (probe := cgroup.below_own("probe")) is None:
        pytest.skip("this account may create no control group here")
    cgroup.remove(probe)
    request = python(tmp_path, HIDE)
    identity = await runner.start(request)
    assert await ended(runner, identity, request) == RunEnd(0)
    assert not alive(int((tmp_path / "away").read_text()))


async def test_a_stop_reaches_one_that_left_session_and_environment(runner: ShellRunner, tmp_path: Path) -> None:
    if (probe := cgroup.below_own("probe")) is None:
        pytest.skip("this account may create no control group here")
    cgroup.remove(probe)
    request = python(tmp_path, HIDE + "time.sleep(100)")
    identity = await runner.start(request)
    away = int(await appears(tmp_path / "away"))
    await runner.stop(identity, request, force=False)
    await ended(runner, identity, request)
    assert not alive(away) and not probe.with_name(f"taod-{request.job_id}-1").exists()


async def test_without_a_group_one_that_outlives_its_run_is_named(
    runner: ShellRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "below_own", lambda name: None)
    request = python(tmp_path, HIDE)
    identity = await runner.start(request)
    end = await ended(runner, identity, request)
    away = int((tmp_path / "away").read_text())
    try:
        assert end == RunEnd(0, left=[processes.name(away)])
    finally:
        os.kill(away, signal.SIGKILL)


async def test_a_killed_wrapper_leaves_no_exit_code_and_no_orphan(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "echo $$ >tool.new; mv tool.new tool; sleep 100; :")
    identity = await runner.start(request)
    tool = int(await appears(tmp_path / "tool"))
    assert identity.pid is not None
    os.kill(identity.pid, signal.SIGKILL)
    assert (await ended(runner, identity, request)).exit_code is None
    assert not alive(tool)


async def test_no_zombie_is_left(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "exit 0")
    identity = await runner.start(request)
    await ended(runner, identity, request)
    assert identity.pid is not None and not Path(f"/proc/{identity.pid}").exists()


async def test_of_two_starters_one_runs_it(tmp_path: Path) -> None:
    for attempt in range(1, 11):
        request = shell(tmp_path, f"echo ran {attempt}", attempt=attempt)
        one, two = ShellRunner(), ShellRunner()
        started = await asyncio.gather(one.start(request), two.start(request), return_exceptions=True)
        assert sorted(type(result).__name__ for result in started) == ["RunIdentity", "StartFailed"]
        identity = next(result for result in started if isinstance(result, RunIdentity))
        assert await ended(one if started[0] is identity else two, identity, request) == RunEnd(0)
    assert request.job_folder.log.read_text().splitlines() == [f"ran {n}" for n in range(1, 11)]


async def test_a_run_folder_that_cannot_be_written_is_reported(runner: ShellRunner, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StartFailed, match="could not be started"):
        await runner.start(shell(tmp_path, "exit 0"))


async def test_recover_what_was_never_started_takes_the_claim(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "echo ran")
    assert await runner.recover(request) == (Claim.NEVER, None)
    with pytest.raises(StartFailed, match="claimed"):
        await runner.start(request)
    assert request.job_folder.log.read_text() == ""


async def test_recover_a_claim_whose_wrapper_died_before_it_said_who_it_is(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "echo ran")
    request.run_folder.path.mkdir(parents=True)
    request.run_folder.claim.touch()
    assert await runner.recover(request) == (Claim.NEVER, None)
    request.run_folder.pid.write_text("12 3")  # cut off in the middle of the line
    assert await runner.recover(request) == (Claim.NEVER, None)


async def test_recover_waits_for_a_wrapper_that_is_about_to_say_who_it_is(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "")
    run = request.run_folder
    run.path.mkdir(parents=True)
    run.claim.touch()
    late = subprocess.Popen(
        ["/bin/sh", "-c", 'read go; read -r a b c d e f g h i j k l m n o p q r s t u start rest </proc/$$/stat; '
         'echo "$$ $start" >pid; read end'],
        cwd=run.path, env={**os.environ, "TAOD_RUN": f"{request.job_id}/1"}, stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        recovering = asyncio.create_task(runner.recover(request))
        await asyncio.sleep(0)
        assert late.stdin is not None and not recovering.done()
        late.stdin.write(b"\n")
        late.stdin.flush()
        claim, identity = await asyncio.wait_for(recovering, PATIENCE_S)
        assert claim is Claim.LIVES and identity is not None and identity.pid == late.pid
    finally:
        late.kill()
        late.communicate()


async def test_recover_one_that_lives_and_one_that_has_ended(runner: ShellRunner, tmp_path: Path) -> None:
    request = run_of(tmp_path, "/bin/sleep", "100")
    identity = await runner.start(request)
    later = ShellRunner()
    assert await later.recover(request) == (Claim.LIVES, identity)
    await later.stop(identity, request, force=False)
    assert await ended(runner, identity, request) == RunEnd(143)
    assert await later.recover(request) == (Claim.ENDED, identity)
    assert await ended(later, identity, request) == RunEnd(143)


async def test_a_pid_used_again_is_not_taken_for_the_run(runner: ShellRunner, tmp_path: Path) -> None:
    request = shell(tmp_path, "exit 4")
    identity = await runner.start(request)
    await ended(runner, identity, request)
    foreign = subprocess.Popen(["/bin/sleep", "100"], start_new_session=True)
    try:
        ticks = processes.start_ticks(foreign.pid)
        assert ticks is not None
        for wrong in (ticks - 1, ticks):  # another start time; and the same one, but without the run's mark
            taken = RunIdentity("shell", pid=foreign.pid, start_ticks=wrong)
            await runner.stop(taken, request, force=True)
            assert await ended(ShellRunner(), taken, request) == RunEnd(4)
        assert alive(foreign.pid)
    finally:
        foreign.kill()
        foreign.wait()


DAEMON = """
import asyncio, sys
sys.path[:0] = {path!r}
from test_local import ShellRunner, shell
from pathlib import Path

async def main():
    request = shell(Path({folder!r}), "echo started; while [ ! -e go ]; do sleep 0.02; done; echo over; exit 5")
    identity = await ShellRunner().start(request)
    print(identity.pid, identity.start_ticks, flush=True)
    await ShellRunner().wait(identity, request)

asyncio.run(main())
"""


async def test_another_process_adopts_the_run_of_one_that_was_killed(tmp_path: Path) -> None:
    text = DAEMON.format(path=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path))
    daemon = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    pid, ticks = (await asyncio.to_thread(daemon.stdout.readline)).split()
    daemon.send_signal(signal.SIGKILL)
    daemon.communicate()
    request = shell(tmp_path, "")
    heir = ShellRunner()
    claim, identity = await heir.recover(request)
    assert (claim, identity) == (Claim.LIVES, RunIdentity("shell", int(pid), int(ticks)))
    assert identity is not None
    waiting = asyncio.create_task(ended(heir, identity, request))
    (tmp_path / "go").touch()
    assert await waiting == RunEnd(5)
    assert request.job_folder.log.read_text() == "started\nover\n"


async def test_a_daemon_killed_at_any_instant_of_the_start_starts_at_most_once(tmp_path: Path) -> None:
    text = DAEMON.format(path=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path))
    text = text.replace("print(identity", "0 and print(identity").replace(
        "asyncio.run", "print(1, flush=True);asyncio.run"
    )
    seen = set()
    for delay_ms in (0, 1, 2, 3, 4, 6):
        folder = tmp_path / str(delay_ms)
        folder.mkdir()
        (folder / "go").touch()
        daemon = subprocess.Popen(
            [sys.executable, "-c", text.replace(str(tmp_path) + "'", str(folder) + "'")], stdout=subprocess.PIPE
        )
        assert daemon.stdout is not None
        daemon.stdout.readline()
        time.sleep(delay_ms / 1000)  # the instant of the kill, not a wait for something
        daemon.kill()
        daemon.communicate()
        request, heir = shell(folder, ""), ShellRunner()
        claim, identity = await heir.recover(request)
        seen.add(claim)
        if claim is Claim.NEVER:
            assert not request.job_folder.log.exists() or request.job_folder.log.read_text() == ""
            continue
        assert identity is not None
        assert await ended(heir, identity, request) == RunEnd(5)
        assert request.job_folder.log.read_text() == "started\nover\n"
    assert seen


def test_it_works_on_the_loop_that_the_server_uses(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> RunEnd:
        runner, request = ShellRunner(), run_of(tmp_path, "/bin/sleep", "100")
        identity = await runner.start(request)
        await runner.stop(identity, request, force=False)
        return await ended(runner, identity, request)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        assert loop.run(main()) == RunEnd(143)
