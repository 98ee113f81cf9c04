#!/usr/bin/env bash
# ./run_benchmarks.sh [--quick] [NAME...]
# Makes .venv and, with the peers to compare with, .venv-benchmarks on first use; measures, prints a
# table, and writes docs/performance.md, unless --quick.
set -uo pipefail
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.setup.sh" || exit 2
setup openchain mpi athena xaod train test
cd -- "$checkout" || exit 2

peers=$checkout/.venv-benchmarks
peer_packages=("distributed>=2024.1,<2027" "joblib>=1.3,<2")
peer_stamp="${peer_packages[*]} $(readlink -f -- "$venv/bin/python")"
if [[ $(cat -- "$peers/.stamp" 2>/dev/null) != "$peer_stamp" ]]; then
    say "setting up $peers: dask.distributed and joblib, to compare with"
    rm -rf -- "$peers"
    if "$venv/bin/python" -I -m venv "$peers" \
        && PIP_DISABLE_PIP_VERSION_CHECK=1 "$peers/bin/python" -I -m pip install -q --no-input \
            --only-binary=:all: "${peer_packages[@]}" >"$peers/setup.log" 2>&1 </dev/null; then
        echo "$peer_stamp" >"$peers/.stamp"
    else
        say "that failed, see $peers/setup.log: what compares with them is skipped"
    fi
fi
if ! command -v parallel >/dev/null && [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    say "installing GNU parallel, to compare with"
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends parallel; } \
        >/dev/null 2>&1 </dev/null || say "that failed: what compares with it is skipped"
fi
if [[ -f $peers/.stamp ]]; then
    export HVMPI_BENCHMARK_PEERS=$peers/bin/python
fi
exec "$venv/bin/python" -m benchmarks "$@"
