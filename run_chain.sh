#!/usr/bin/env bash
# ./run_chain.sh [--ranks N] [--hostfile FILE] [hvmpi arguments]
# Makes .venv on first use, then starts hvmpi in it: the demo campaign when nothing is asked.
set -uo pipefail
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.setup.sh" || exit 2
setup openchain mpi athena report
exec "$venv/bin/python" -P -m hvmpi.supervisor "$@"
