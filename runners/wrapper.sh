# The wrapper around every local run: `sh -c <this text> taod-run <run folder>`, the tool's command line quoted for a
# shell in TAOD_COMMAND: the environment is readable for this account alone, and a command line for every account.
# It is handed over as text, not as a file, so that an upgrade of taod never changes a script that is being read.
# stdin is the writing end of a pipe to the daemon; stdout and stderr are the job's log.

# A signal to the whole group is meant for the tool. A trap that does nothing keeps this shell alive, and unlike an
# ignored signal it is back at its default in the tool. While the tool runs in the foreground, traps wait.
trap : HUP INT QUIT USR1 USR2 PIPE TERM
run=$1
eval "set -- $TAOD_COMMAND"
unset TAOD_COMMAND
# With noclobber the shell itself makes the file by O_EXCL, which succeeds once only: a second wrapper,
# another starter or a recovering daemon, finds it taken. A builtin: mkdir would cost another process on the way.
set -C
true 2>/dev/null >"$run/claim" || exit 81
set +C
# A pid alone is reused one day; with the start time (field 22 of stat) it names one process for good.
read -r stat <"/proc/$$/stat"
# The second field is the program's name in brackets: what follows it begins with field 3, so 22 is the 20th.
start_of() { shift 19; start=$1; }
# Unquoted on purpose: the shell splits the fields.
start_of ${stat##*) }
# The tool is born in the run's group. Where the group bounds its memory, there is no run without it.
if [ -n "${TAOD_GROUP-}" ]; then
    # Version 1 has a file for single threads, of which this shell has one: the kernel moves that in 0.1 ms, and a
    # process, which it must lock against all forks of the machine, in 10.
    enter=$TAOD_GROUP/tasks
    [ -e "$enter" ] || enter=$TAOD_GROUP/cgroup.procs
    echo 0 2>/dev/null >"$enter" || [ -z "${TAOD_LIMITED-}" ] || exit 83
    unset TAOD_GROUP TAOD_LIMITED
fi
# Builtins only from here on: a helper process (mv) could be hit by the very signals that are meant for the tool.
# One write of a short line: readers take the file for written once it ends in a line break. Without it nothing is
# started: every run must be found again.
echo "$$ $start" >"$run/pid" || exit 82
# Room for the exit code while the disk has some: overwritten in place, it needs none when the run ends on a full one.
printf '    ' >"$run/exit"
# Closes the pipe: the daemon sees its end and knows that the pid file is there. Closing, unlike writing, cannot
# fail when the daemon is dead. It also gives the tool an empty input.
exec </dev/null
# In the foreground: this shell waits in the kernel whatever signals come, and SIGINT is not ignored in the tool.
"$@"
# 0-125 the tool's own, 126 and 127 not to be executed or found, 128+n ended by signal n. Read by the daemon only
# once this shell has ended, so it is never seen half written.
printf '%3d\n' "$?" 1<>"$run/exit"
