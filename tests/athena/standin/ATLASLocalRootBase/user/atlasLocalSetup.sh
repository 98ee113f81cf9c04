#!/bin/bash
# Stand-in of ATLASLocalRootBase. Sourced, it names AtlasSetup; with -c it runs a set-up script and
# a payload one after the other in a fresh bash "in a container", like
#     atlasLocalSetup.sh -c IMAGE [-m BINDS] --pwd DIR -s setup.sh -r payload.sh

_standin_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

_standin_contain() {
    local image= directory=$PWD setup=/dev/null payload=/dev/null
    local state=$_standin_tree/../state
    printf '%q ' atlasLocalSetup "$@" >>"$state/containers.txt"
    echo >>"$state/containers.txt"
    while [ $# -gt 0 ]; do
        case $1 in
            -c | --container) image=$2 ; shift ;;
            --pwd) directory=$2 ; shift ;;
            -s | --postsetup) setup=$2 ; shift ;;
            -r | --runpayload) payload=$2 ; shift ;;
            -m | --mount | -e) shift ;;
        esac
        shift
    done
    (
        cd "$directory" || exit 255
        CONTAINER=1 CONTAINER_IMAGE=$image exec bash -c '
            [ -e "$1" ] && . "$1" || { echo "Error: $1 is not there or failed" >&2; exit 255; }
            if [ -e "$2" ]; then . "$2"; else eval "$2"; fi
        ' bash "$(_standin_path "$setup")" "$(_standin_path "$payload")"
    )
}

# `.` looks a bare name up in PATH.
_standin_path() {
    if [ -e "$directory/$1" ] && [ "${1#/}" = "$1" ]; then echo "$directory/$1"; else echo "$1"; fi
}

case " $* " in
    *" -c "* | *" --container "*)
        _standin_contain "$@"
        ;;
    *)
        export ATLAS_LOCAL_ROOT=$_standin_tree/ATLASLocalRootBase/x86_64
        export AtlasSetup=$_standin_tree/AtlasSetup
        [ "$1" = --quiet ] || echo "lsetup and asetup of the stand-in are at hand"
        ;;
esac
