"""Imports each action of each entry point of a distribution: `python probe.py DISTRIBUTION FD all|each [MODULE…]`.

Writes lines of JSON to the file descriptor. Each entry point is imported in a fork, so that entry points do not share
imports and a crash affects only one; the given modules are imported once, before. With `all` the actions after one that
cannot be imported are not tried: it affects all, and its import may wait minutes for a network. Python 3.8 and newer.
"""

import ctypes
import importlib
import importlib.metadata
import json
import os
import pkgutil
import signal
import sys
import traceback

LIMIT_S = 900
PR_SET_PDEATHSIG = 1


def cause(error):
    """An exception in one line, with the file that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    where = ""
    if frames:
        where = " ({}:{})".format(os.path.basename(frames[-1].filename), frames[-1].lineno)
    text = " ".join(str(error).split())[:300]
    return "{}: {}{}".format(type(error).__name__, text, where)


def attempt(name):
    """Import a module. Returns why it cannot be imported; empty on success."""
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        return cause(error)
    return ""


def checked(entry, all_or_none):
    """The actions of an entry point with their results: modules of the `scripts` package that it imports or lies
    beside."""
    module = entry.value.partition(":")[0].strip()
    reason = attempt(module)
    if reason:
        return {"reason": reason, "actions": []}
    scripts = getattr(sys.modules[module], "scripts", None)
    if scripts is None:
        name = module.rpartition(".")[0].rpartition(".")[0] + ".scripts"
        reason = attempt(name)
        if reason:
            return {"reason": reason, "actions": []}
        scripts = sys.modules[name]
    actions = []
    for found in sorted(pkgutil.iter_modules(scripts.__path__), key=lambda each: each.name):
        if not found.ispkg:
            tried = not all_or_none or all(action["ok"] for action in actions)
            reason = attempt(scripts.__name__ + "." + found.name) if tried else ""
            actions.append({"name": found.name, "ok": tried and not reason, "reason": reason})
    return {"reason": "" if actions else "it has no actions", "actions": actions}


def write(fd, line):
    os.write(fd, (json.dumps(line) + "\n").encode())


def in_fork(fd, entry, all_or_none):
    """Check one entry point in a child; a child that is killed or hangs is reported here."""
    read, answer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the call above
            os._exit(1)
        signal.alarm(LIMIT_S)
        result = checked(entry, all_or_none)
        with os.fdopen(answer, "w") as file:
            json.dump(result, file)
        os._exit(0)
    os.close(answer)
    with os.fdopen(read) as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    if text:
        result = json.loads(text)
    elif os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        why = "its import took more than {} s".format(LIMIT_S) if name == "SIGALRM" else "its import ended by " + name
        result = {"reason": why, "actions": []}
    else:
        result = {"reason": "its import ended Python with code {}".format(os.WEXITSTATUS(status)), "actions": []}
    write(fd, dict(result, type="checked", entry=entry.name))


def main():
    distribution, fd, all_or_none = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "all"
    os.set_inheritable(fd, False)
    del sys.path[0]  # This file's own folder is not part of the environment.
    found = importlib.metadata.distribution(distribution)
    entries = sorted(
        (each for each in found.entry_points if each.group == "console_scripts"), key=lambda each: each.name
    )
    for name in sys.argv[4:]:
        attempt(name)
    for entry in entries:
        write(fd, {"type": "started", "entry": entry.name})
        in_fork(fd, entry, all_or_none)


if __name__ == "__main__":
    main()
