#!/bin/sh
# taod as one file: unpacks itself once for each version into the user's cache, and starts from there.
# What follows the last line of this script is a .tar.gz.
cache=${XDG_CACHE_HOME:-${HOME:?taod: HOME is not set}/.cache}/taod/program
place=$cache/@NAME@
TAOD_PROGRAM=$(command -v -- "$0")
case $TAOD_PROGRAM in /*) ;; *) TAOD_PROGRAM=$PWD/$TAOD_PROGRAM ;; esac
export TAOD_PROGRAM
unpack() {
    umask 077
    mkdir -p "$cache" && new=$(mktemp -d "$cache/.new.XXXXXX") || return
    trap 'rm -rf "$new"' EXIT
    trap 'exit 130' HUP INT TERM
    tail -n +@LINES@ "$TAOD_PROGRAM" | tar -xz -C "$new" || return
    # Another one that unpacked meanwhile has won; both are the same.
    mv -T "$new" "$place" 2>/dev/null || [ -x "$place/taod" ] || return
    # Other versions that no process runs.
    running=$(readlink /proc/[0-9]*/exe 2>/dev/null)
    for other in "$cache"/*; do
        case "$other $running" in "$place "* | *"$other/"*) ;; *) rm -rf "$other" ;; esac
    done
}
if [ ! -x "$place/taod" ]; then
    (unpack) || {
        echo "taod: $cache cannot be used; name a folder with 200 MB of space in XDG_CACHE_HOME" >&2
        exit 1
    }
fi
exec "$place/taod" "$@"
