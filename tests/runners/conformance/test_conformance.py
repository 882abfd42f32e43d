"""What every runner has to keep to: read it as the contract's small print."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess

import msgspec
import psutil
import pytest

from runners.native import Native
from runners.protocol import Claim, RunEnd, RunIdentity, StartFailed
from taod import masking
from tests.patience import PATIENCE_S
from tests.runners.conformance.conftest import Bench
from tests.runners.conformance.waiting import go, log_of, ready, within


async def test_an_end_has_the_tools_own_exit_code(bench: Bench) -> None:
    requests = [bench.request(do) for do in ("exit:0", "exit:3", "exit:127", "die:KILL", "die:SEGV")]
    ends = await asyncio.gather(*(bench.run(request) for request in requests))
    assert [end.exit_code for end in ends] == [0, 3, 127, 137, 139]


async def test_output_and_status_lie_in_the_jobs_folder_whole_and_are_the_users(bench: Bench) -> None:
    request = bench.request("lines:3000", environment={"OF_THE_COMMAND": 'it\'s "so" $HOME'})
    request.job_folder.log.write_text("of an earlier attempt\n")
    assert (await bench.run(request)).exit_code == 0
    log = log_of(request)
    assert log.startswith("of an earlier attempt\n")
    assert [line for line in log.splitlines() if line.startswith("line ")] == [f"line {n}" for n in range(1, 3001)]
    assert "to the error output" in log
    said = [json.loads(line) for line in (request.job_folder.results / "status.json").read_text().splitlines()]
    assert [line["status"] for line in said] == ["STARTED", "SUCCESS"]
    for path in (request.job_folder.log, request.job_folder.results / "status.json"):
        assert path.stat().st_uid == os.getuid()


async def test_a_run_gets_its_arguments_and_environment_and_none_of_the_daemons(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAOD_SERVER_PORT", "1")
    bench.runner = bench.make()
    request = bench.request("exit:0", environment={"OF_THE_COMMAND": 'it\'s "so" $HOME'})
    await bench.run(request)
    log = log_of(request)
    assert f"arguments: train --results_dir={request.folder}/results --do=exit:0 -k s3cret" in log
    environment = dict(line.split("=", 1) for line in log.splitlines() if "=" in line)
    assert environment["OF_THE_COMMAND"] == 'it\'s "so" $HOME'
    assert environment["TAOD_JOB_ID"] == request.job_id
    assert environment["TAOD_RUN"] == f"{request.job_id}/1"
    assert environment["NUM_GPU_PER_NODE"] == "0"
    assert environment["PWD"] == request.folder
    assert "TAOD_SERVER_PORT" not in environment


async def test_a_stop_asks_the_tool_to_end_and_its_end_is_reported(bench: Bench) -> None:
    request = bench.request("wait")
    identity = await bench.start(request)
    await ready(request)
    waiting = asyncio.create_task(bench.runner.wait(identity, request))
    await bench.runner.stop(identity, request, force=False)
    assert (await within(waiting)).exit_code == 143
    assert "saved" in log_of(request)
    # Safe to call again.
    await bench.runner.stop(identity, request, force=False)
    await bench.runner.stop(identity, request, force=True)


async def test_a_tool_that_does_not_listen_is_ended_by_force_with_all_it_has_started(bench: Bench) -> None:
    request = bench.request("stubborn")
    identity = await bench.start(request)
    await ready(request)
    await bench.runner.stop(identity, request, force=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.runner.wait(identity, request), 0.5)
    await bench.runner.stop(identity, request, force=True)
    # With its wrapper, so that no code was recorded, or by the signal.
    assert (await bench.ended(identity, request)).exit_code in (None, 137)
    for pid in _left(request.job_id):  # A cluster reports the end before its last process has gone.
        with contextlib.suppress(psutil.NoSuchProcess):
            await asyncio.to_thread(psutil.Process(pid).wait, PATIENCE_S)
    assert _left(request.job_id) == []


async def test_a_stop_right_after_the_start_is_not_lost(bench: Bench) -> None:
    request = bench.request("wait")
    identity = await bench.start(request)
    await bench.runner.stop(identity, request, force=False)
    assert (await bench.ended(identity, request)).exit_code in (None, 143)


async def test_a_stop_of_release_7_reaches_the_training_and_not_its_launcher(bench: Bench) -> None:
    """The launcher would take the training along before it has saved its checkpoint."""
    if isinstance(bench.runner, Native):
        pytest.skip("needs a tool of release 7.3; tests/runners/test_local.py has the same for processes")
    request = bench.request("launch", release="7.3")
    identity = await bench.start(request)
    await ready(request)
    await bench.runner.stop(identity, request, force=False)
    assert (await bench.ended(identity, request)).exit_code == 0
    assert "saved" in log_of(request)


async def test_a_new_daemon_finds_the_run_by_what_is_stored_of_it(bench: Bench) -> None:
    request = bench.request("wait")
    stored = msgspec.json.encode(await bench.start(request))
    await ready(request)
    identity = msgspec.json.decode(stored, type=RunIdentity)
    first, second = bench.make(), bench.make()
    waits = [asyncio.create_task(runner.wait(identity, request)) for runner in (first, first, second)]
    go(request)
    ends = await within(asyncio.gather(*waits))
    assert [end.exit_code for end in ends] == [0, 0, 0]
    assert await within(bench.make().wait(identity, request)) == ends[0]


async def test_a_new_daemon_can_stop_the_run(bench: Bench) -> None:
    request = bench.request("wait")
    identity = await bench.start(request)
    await ready(request)
    runner = bench.make()
    await runner.stop(identity, request, force=False)
    assert (await within(runner.wait(identity, request))).exit_code == 143


async def test_what_was_never_started_never_will_be(bench: Bench) -> None:
    request = bench.request("exit:0")
    assert await within(bench.runner.recover(request)) == (Claim.NEVER, None)
    assert await within(bench.make().recover(request)) == (Claim.NEVER, None)
    with pytest.raises(StartFailed, match="attempt 1 was claimed by another starter"):
        await bench.start(request)
    again = bench.request("exit:0", attempt=2, of=request)
    assert (await bench.run(again)).exit_code == 0


async def test_a_run_that_was_started_but_not_recorded_is_found_living(bench: Bench) -> None:
    request = bench.request("wait")
    await bench.start(request)
    await ready(request)
    runner = bench.make()
    claim, identity = await within(runner.recover(request))
    assert claim is Claim.LIVES
    assert identity is not None
    go(request)
    assert (await within(runner.wait(identity, request))).exit_code == 0


async def test_a_run_that_was_started_and_has_ended_meanwhile_is_found_ended(bench: Bench) -> None:
    request = bench.request("exit:5")
    await bench.run(request)
    runner = bench.make()
    claim, identity = await within(runner.recover(request))
    assert claim is Claim.ENDED
    assert identity is not None
    assert (await within(runner.wait(identity, request))).exit_code == 5


async def test_an_attempt_starts_once_with_several_starters(bench: Bench) -> None:
    request = bench.request("exit:0")
    starts = await within(
        asyncio.gather(*(runner.start(request) for runner in (bench.runner, bench.make())), return_exceptions=True)
    )
    identities = [start for start in starts if isinstance(start, RunIdentity)]
    (failure,) = [start for start in starts if isinstance(start, BaseException)]
    assert isinstance(failure, StartFailed)
    assert "claimed by another starter" in str(failure)
    assert await bench.ended(identities[0], request) == RunEnd(0)
    assert log_of(request).count("arguments: ") == 1


async def test_a_cancelled_wait_leaves_the_run_alone(bench: Bench) -> None:
    request = bench.request("wait")
    identity = await bench.start(request)
    await ready(request)
    waiting = asyncio.create_task(bench.runner.wait(identity, request))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go(request)
    assert (await bench.ended(identity, request)).exit_code == 0


async def test_what_is_shown_can_be_masked_whole(bench: Bench) -> None:
    request = bench.request("exit:0", environment={"KEY": "s3cret"})
    launch = bench.runner.describe(request)
    assert any("s3cret" in word for word in launch.argv)
    shown = [*masking.argv(launch.argv), *masking.environment(launch.environment).values()]
    assert not any("s3cret" in text for text in shown)
    assert any(word.endswith("--do=exit:0") for word in launch.argv)


async def test_a_folder_that_cannot_be_written_fails_the_start_in_words(bench: Bench) -> None:
    request = bench.request("exit:0")
    (request.job_folder.path / "runs").write_text("a file where a folder should be")
    with pytest.raises(StartFailed, match="could not be started"):
        await bench.start(request)


async def test_what_it_can_do_is_looked_up_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan asks for every action of every network."""
    bench.runner.can("classification_pyt", "train")

    def look_up(*_: object, **__: object) -> None:
        raise AssertionError("it starts a process, or asks a server, for a known answer")

    monkeypatch.setattr(subprocess, "Popen", look_up)
    monkeypatch.setattr(socket.socket, "connect", look_up)
    assert bench.runner.can("classification_pyt", "train").can


def _left(job_id: str) -> list[int]:
    """Processes of the job that still live."""
    from runners import processes

    return processes.members(f"TAOD_RUN={job_id}/1")
