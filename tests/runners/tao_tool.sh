#!/bin/sh
# A tool that speaks the TAO command line and follows `--do=`, for any POSIX shell, busybox's in an image included.
# Without it a train makes three epochs: a first run waits before its second until a signal or the file `go` comes.
results=. do=
for argument in "$@"; do
    case $argument in
        --results_dir=*) results=${argument#*=} ;;
        --do=*) do=${argument#*=} ;;
    esac
done
say() {
    epoch=
    [ -z "$3" ] || epoch=", \"epoch\": $3, \"max_epoch\": 3, \"kpi\": {\"loss\": 0.$3}"
    stamp='"date": "7/3/2023", "time": "9:4:12", "verbosity": "INFO"'
    echo "{$stamp, \"status\": \"$1\", \"message\": \"$2\"$epoch}" >>"$results/status.json"
}
until_go() { while [ ! -e "$results/go" ]; do sleep 0.02; done; }
mkdir -p "$results"
echo "arguments: $*"
echo "to the error output" >&2
env
say STARTED "Starting"
trap 'echo saved; exit 143' TERM
case $do in
    "")
        trap 'echo "stopped at a checkpoint"; exit 143' TERM
        if [ -e "$results/epoch_1.pth" ]; then echo "continues from epoch_1.pth"; else
            echo 1 >"$results/epoch_1.pth"
            say RUNNING "Training loop in progress" 1
            [ "$1" != train ] || until_go
        fi
        for number in 2 3; do
            echo $number >"$results/epoch_$number.pth"
            say RUNNING "Training loop in progress" $number
        done
        ;;
    exit:*) exit "${do#exit:}" ;;
    die:*) kill -s "${do#die:}" $$ ;;
    lines:*)
        line=0
        while [ $line -lt "${do#lines:}" ]; do
            line=$((line + 1))
            echo "line $line"
        done
        ;;
    wait) touch "$results/ready"; until_go ;;
    stubborn)
        trap '' TERM
        sh -c 'while :; do sleep 0.05; done' &
        touch "$results/ready"
        until_go
        ;;
    launch)
        # As the launchers of release 7.3: a SIGTERM ends it at once, and what it has started with it.
        sh -c '"$0" train --results_dir="$1" --do=save; exit $?' "$0" "$results" &
        launched=$!
        trap 'kill -KILL $launched $(cat "$results/pid"); exit 143' TERM
        wait $launched
        exit $?
        ;;
    save)
        # A training that takes a moment to save.
        trap 'sleep 0.3; echo saved; exit 0' TERM
        echo $$ >"$results/pid"
        touch "$results/ready"
        until_go
        ;;
    eat) touch "$results/ready"; tail /dev/zero || exit ;;
esac
say SUCCESS "Done"
