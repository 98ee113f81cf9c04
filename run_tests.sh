#!/usr/bin/env bash
# ./run_tests.sh [pytest arguments]
# Makes .venv on first use, with what the tests need, then runs them.
set -uo pipefail
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.setup.sh" || exit 2
setup openchain mpi athena xaod report train convert docs test
cd -- "$checkout" || exit 2
exec "$venv/bin/python" -m pytest "$@"
