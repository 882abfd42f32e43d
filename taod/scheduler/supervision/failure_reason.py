"""Finds the line of a log that explains why a run failed. Pure."""

from __future__ import annotations

import re

LINES = 200
"""Number of last lines of a log that are searched: torchrun's own traceback and table take fifty."""
MAX_CHARACTERS = 300

_BOILERPLATE = re.compile(
    r"HYDRA_FULL_ERROR|Telemetry data couldn't be sent|Sending telemetry data|^Execution status:"
    r"|^\[(?:Error|WARNING|INFO)\]: Uninitialized|^To enable traceback see:|<NO_OTHER_FAILURES>"
    r"|^(?:ERROR|WARNING|INFO):torch\.distributed|torch\.distributed\.(?:elastic|run)\b.*\b(?:ERROR|WARNING|INFO)\b"
    r"|^Root Cause \(first observed failure\)|^Failures:$|^\[\d+\]:$"
    r"|^\s*(?:time|host|rank|exitcode|error_file|traceback)\s*: |^\S+\.py FAILED$|^[=\-*]{5,}$"
    r"|^\[taod: |^Primary job +terminated normally|^wandb: |^\s*warnings\.warn\("
    r"|^Execution .* failed$|^None of PyTorch, TensorFlow"
)
_PREFIX = re.compile(r"^(?:\[rank\d+\]:\s?|\[\d+,\d+\]<std(?:err|out)>:\s?)")
"""Prefixes of torchrun and mpirun."""
_EXCEPTION = re.compile(
    r"^(?P<name>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Failure|NotFound|Exhausted|TimeoutExpired|StopIteration))"
    r"(?::\s*(?P<text>.*)|\s*)$"
)
_OF_LAUNCHERS = re.compile(
    r"ChildFailedError|SignalException|CalledProcessError|KeyboardInterrupt|SystemExit|ProcessRaisedException"
    r"|ProcessExitedException|HorovodInternalError"
)
_CONSEQUENCE = re.compile(
    r"NCCL|Connection reset|Connection closed|Connection refused|Broken pipe|Socket Timeout|DataLoader worker \(pid"
    r"|DistBackendError"
)
"""Failures caused by the failure of another process."""
_MESSAGES = re.compile(
    r"^[\w./-]+: error: .+"  # argparse
    r"|^(?:\S*/)?(?:ba|da|z)?sh: .+"  # a shell that cannot start a program
    r"|^.+: command not found$|^\S*python[\d.]*: (?:No module named|can't open file) .+"
    r"|.*Error response from daemon: .+|^exec .+: exec format error$"
)
_WEAK = re.compile(
    r"^(?:ERROR|Error|FATAL|CRITICAL): .+|^\S.*\[(?:ERROR|CRITICAL)\].*|^\S.* - (?:ERROR|CRITICAL)\b.*"
    r"|.*No space left on device.*|^.*Disk quota exceeded.*|.*Out of memory: Killed process.*|.*\bOOM when allocating.*"
    r"|^.*(?:CUDA driver version is insufficient|Found no NVIDIA driver|no CUDA-capable device).*"
    r"|^\s*what\(\): .+"
    r"|^(?:.*\s)?(?:Killed|Segmentation fault|Bus error|Aborted|Illegal instruction)(?: \(core dumped\))?$"
    r"|.*exited on signal \d+.*"
)
_FULL_KEY = re.compile(r"^\s+full_key: (\S+)$")
_GENERIC = re.compile(r"(?i)^(?:\w+ )?(?:was |has been )?(?:interrupted|failed|aborted|error|exception)[.!]?$")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def explain(log: str) -> str:
    """The line that explains a failure, with its continuation; empty if there is none.

    In order of preference: the last exception that is neither a launcher's nor the consequence of another process's
    failure, or a message of an argument parser or shell; then lines marked as errors.
    """
    lines = useful(log)
    exceptions = [index for index, line in enumerate(lines) if _EXCEPTION.match(line)]
    own = [index for index in exceptions if not _OF_LAUNCHERS.search(lines[index])]
    first = [index for index in own if not _CONSEQUENCE.search(lines[index])]
    keys = [index for index, line in enumerate(lines) if index and _FULL_KEY.match(line)]
    messages = [index for index, line in enumerate(lines) if _MESSAGES.match(line)]
    strong = [*(first or own), *(index - 1 for index in keys), *messages]
    if strong:
        return _shortened(_with_rest(lines, max(strong)))
    weak = [index for index, line in enumerate(lines) if _WEAK.match(line)]
    return _shortened(lines[max(weak)].strip()) if weak else ""


def useful(log: str) -> list[str]:
    """The lines of a log without blank ones and the closing boilerplate of launchers, Hydra and telemetry."""
    lines = [_PREFIX.sub("", _CONTROL.sub("", line)).rstrip() for line in log.splitlines()]
    return [line for line in lines if line.strip() and not _BOILERPLATE.search(line)]


def reported(message: str, log: str) -> str:
    """One line that explains a failure reported by the tool: its message, or the explanation in the log if the message
    is generic or part of that (a KeyError's message is only the key)."""
    found = explain(log)
    line = explain(message) or next(iter(useful(message)), "") if "\n" in message else message.strip()
    if found and (not line or _GENERIC.match(line) or line in found):
        return found
    return line


def _with_rest(lines: list[str], index: int) -> str:
    line = lines[index].strip()
    after = lines[index + 1 :]
    exception = _EXCEPTION.match(line)
    if exception and not exception["text"]:
        source = lines[index - 1].strip() if index and lines[index - 1].startswith("    ") else ""
        return f"{line.rstrip(':')}: {source}" if source else line.rstrip(":")
    if after and (key := _FULL_KEY.match(after[0])):
        return f"{line} (full_key: {key[1]})"
    if exception and exception["name"].startswith("yaml."):
        return " ".join([line, *(one.strip() for one in after[:3])])
    return f"{line} {after[0].strip()}" if line.endswith(":") and after else line


def _shortened(line: str) -> str:
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"
