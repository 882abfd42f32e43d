# The wrapper around a run that is no child of the daemon:
# `sh -c <this text> taod-run <run folder> <log> <who> <signalled>`, as the first process of a container or in a cluster
# job. <log> is appended to; empty: output stays where it goes. <signalled>: `all`, or `children`. The tool's command line
# comes in TAOD_COMMAND, quoted for a shell: every account of the machine can read a command line, and it may have a key.

# The launchers of release 7.3 die of a SIGTERM at once and take the training along; the training alone saves a
# checkpoint, and its launcher ends with it. So what the launcher has started gets the signal, or the launcher where it
# has started nothing yet. Shells and what starts containers are no launchers. Builtins only, and /proc.
children_of() { # Into `below`: the living processes whose parent is in $1.
    below=
    for stat in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$stat" || continue
        one=${stat#/proc/}
        set -- "$1" ${line##*) }
        case " $1 " in *" $3 "*) [ "$2" = Z ] || below="$below ${one%/stat}" ;; esac
    done
}
passes_on() { # Whether process $1 only starts what is below it.
    read -r line 2>/dev/null <"/proc/$1/comm" || return 1
    case $line in sh | bash | dash | srun | apptainer | singularity | starter* | appinit | sinit) ;; *) return 1 ;; esac
}
past_shells() { # Into `reached`: the processes of $1, and instead of those that only start others, these.
    reached= todo=$1
    while [ -n "$todo" ]; do
        next=
        for pid in $todo; do
            below=
            ! passes_on "$pid" || children_of "$pid"
            if [ -n "$below" ]; then next="$next $below"; else reached="$reached $pid"; fi
        done
        todo=$next
    done
}
to_children() {
    past_shells "$1"
    children_of "$reached"
    [ -z "$below" ] || past_shells "$below"
    kill -TERM $reached
}
# A SIGTERM is for the tool. As the first process of a container this shell is the only one that gets it, and passes it
# on to all others; in a cluster job every process gets its own, or for `children` this shell alone.
forward() {
    if [ "$signalled" = children ]; then [ -z "$tool" ] || to_children "$tool";
    elif [ $$ -eq 1 ]; then kill -TERM -1;
    elif [ -n "$1" ]; then kill -TERM "$1"; fi 2>/dev/null
}
asked=
again=
tool=
trap 'asked=1; again=1; [ $$ -ne 1 ] && [ "$signalled" != children ] || forward' TERM
trap : HUP INT QUIT USR1 USR2 PIPE
run=$1 log=$2 who=$3 signalled=$4
eval "set -- $TAOD_COMMAND"
unset TAOD_COMMAND
[ -z "$log" ] || exec >>"$log" 2>&1
# With noclobber the shell makes the file by O_EXCL, which succeeds once in the world: a daemon that takes it first has
# decided that this attempt never starts. Its content names the owner.
set -C
if ! echo "$who" 2>/dev/null >"$run/claim"; then
    [ -s "$run/claim" ] || exit 82
    read -r first <"$run/claim"
    # A job that the cluster has requeued comes again under its own number.
    [ "$first" = "$who" ] && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || exit 81
    set +C
    : >"$run/exit"
fi
set +C
code=143
if [ -z "$asked" ]; then
    "$@" </dev/null &
    tool=$!
    # The request came before the tool was started.
    [ -z "$asked" ] || forward "$tool"
    before=
    while :; do
        again=
        wait "$tool"
        code=$?
        # After a signal came, the wait may have been cut short (the next one returns the code), or may have been the last
        # one (the next one knows nothing any more).
        [ "$code" -ne 127 ] || [ -z "$before" ] || code=$before
        [ -n "$again" ] || break
        before=$code
    done
fi
# Read once it ends in a line break: 0-125 the tool's own, 126 and 127 not to be executed or found, 128+n by signal n.
echo "$code" >"$run/exit"
exit "$code"
