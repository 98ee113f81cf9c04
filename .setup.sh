# Sourced by run_chain.sh and run_tests.sh: finds Python, and makes .venv when it is not as it
# should be. Afterwards $venv holds the environment and the shell what hvmpi needs to run in it.

checkout=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
venv=$checkout/.venv
stamp=$venv/.hvmpi-stamp
unfinished=$venv/.hvmpi-unfinished
setup_log=$venv/.hvmpi-setup.log

say() { printf 'hvmpi: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 2; }

glibc_minor() {
    local version
    version=$(getconf GNU_LIBC_VERSION 2>/dev/null) || version=
    [[ $version =~ ^glibc\ 2\.([0-9]+) ]] \
        || die "this system has no glibc (getconf GNU_LIBC_VERSION says '$version'): use a Linux that is built on glibc 2.17 or newer"
    echo "${BASH_REMATCH[1]}"
}

# Prints the file of the interpreter; fails with 3 where the version, 4 where venv is what it lacks.
probe_python() {
    "$1" -I -c '
import os, sys
if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
print(os.path.realpath(sys.executable))' 2>/dev/null </dev/null
}

find_python() {
    local name candidate found without_venv=
    if [[ -n ${PYTHON:-} ]]; then
        found=$(probe_python "$PYTHON") && { echo "$found"; return; }
        case $? in
            3) die "PYTHON=$PYTHON is not CPython 3.11, 3.12 or 3.13: name one that is" ;;
            4) die "PYTHON=$PYTHON has no venv or no ensurepip module: install them (Debian: python3-venv) or name another" ;;
            *) die "PYTHON=$PYTHON does not run: name a CPython 3.11, 3.12 or 3.13" ;;
        esac
    fi
    for name in python3.13 python3.12 python3.11 python3; do
        # Each of that name in PATH: a pyenv shim may stand before one that runs.
        while IFS= read -r candidate; do
            found=$(probe_python "$candidate") && { echo "$found"; return; }
            [[ $? == 4 ]] && without_venv=$candidate
        done < <(type -ap "$name")
    done
    [[ -z $without_venv ]] \
        || die "$without_venv has no venv or no ensurepip module: install them (Debian: python3-venv) or set PYTHON to another CPython 3.11-3.13"
    die "no CPython 3.11, 3.12 or 3.13 in PATH: install one or set PYTHON to it"
}

venv_version() {
    "$venv/bin/python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# An environment cannot be moved, nor change its Python: these lines decide whether to start anew.
identity() { printf 'checkout %s\npython %s\n' "$checkout" "$1"; }
contents() { printf 'pyproject %s\n' "$(sha256sum <"$checkout/pyproject.toml")"; }
stamped_extras() { sed -n 's/^extras //p' "$stamp" 2>/dev/null; }

is_another_python() {
    local wanted
    [[ -n ${PYTHON:-} ]] || return 1
    wanted=$(find_python) || exit 2
    [[ $wanted != "$(readlink -f -- "$venv/bin/python")" ]]
}

is_set_up() {
    local version extra
    [[ -f $stamp && ! -e $unfinished ]] && version=$(venv_version) || return 1
    [[ $(head -n 3 "$stamp") == "$(identity "$version"; contents)" ]] || return 1
    for extra in "$@"; do
        [[ " $(stamped_extras) " == *" $extra "* ]] || return 1
    done
    ! is_another_python
}

# Half a first set-up, a moved checkout, or another Python; one made by hand is taken over.
must_start_anew() {
    local version
    [[ -e $unfinished ]] && return
    version=$(venv_version) || return 0
    [[ ! -f $stamp || $(head -n 2 "$stamp") == "$(identity "$version")" ]] || return 0
    is_another_python
}

lock_setup() {
    local python=$1
    mkdir -p -- "$venv" 2>/dev/null && { exec 9>>"$venv/.hvmpi-lock"; } 2>/dev/null \
        || die "$venv cannot be written: make $checkout writable for the first start, or set it up as a user who may"
    # The lock belongs to the open file, which this shell holds after Python has left.
    "$python" -I -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("hvmpi: waiting for another start that is setting up", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)' || die "$venv/.hvmpi-lock cannot be locked: use a file system with locks, or set up where there is one"
}

install() {
    local python=$1 version
    shift
    if must_start_anew; then
        find "$venv/" -mindepth 1 -maxdepth 1 ! -name .hvmpi-lock -exec rm -rf -- {} +
    fi
    : >"$unfinished"
    say "setting up $venv with $python (first use, or pyproject.toml changed); this takes a minute"
    {
        rm -f -- "$stamp"
        [[ -x $venv/bin/python ]] || "$python" -I -m venv "$venv"
        cd -- "$checkout"
        # With PYTHONDONTWRITEBYTECODE every start would compile it anew: a fifth of a status.
        "$venv/bin/python" -I -m compileall -q hvmpi || true
        # A site's pip settings may point elsewhere than into the environment.
        unset PIP_TARGET PIP_PREFIX
        PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -I -m pip install \
            --no-input --only-binary=:all: --editable ".$(IFS=,; echo "${*:+[$*]}")"
    } >"$setup_log" 2>&1 </dev/null || {
        grep -i '^error' "$setup_log" >&2
        die "the set-up of $venv failed: see $setup_log"
    }
    # mpirun of the wheel binds ranks to cores by itself, their payloads with them, and then
    # refuses more slots than cores.
    local conf=$venv/etc/prte-mca-params.conf line='hwloc_default_binding_policy = none'
    [[ ! -f $conf ]] || grep -qxF "$line" "$conf" || printf '%s\n' "$line" >>"$conf"
    version=$(venv_version)
    { identity "$version"; contents; echo "extras $*"; } >"$stamp.part"
    mv -f -- "$stamp.part" "$stamp"
    rm -f -- "$unfinished"
    say "set up"
}

# setup EXTRA...: the environment with these extras of pyproject.toml.
setup() {
    local minor python extra
    local -a extras=()
    minor=$(glibc_minor) || exit
    (( minor >= 17 )) || die "glibc 2.$minor is older than the 2.17 that hvmpi needs: use a newer system or a container"
    case ${HVMPI_MPI:=wheel} in
        wheel | system) ;;
        *) die "HVMPI_MPI=$HVMPI_MPI is neither 'wheel' nor 'system'" ;;
    esac
    for extra in "$@"; do
        case $extra in
            openchain)
                if (( minor < 34 )); then
                    say "glibc 2.$minor is older than the 2.34 that the open chain needs: only the core is set up"
                    continue
                fi ;;
            mpi)
                [[ $HVMPI_MPI == wheel ]] || continue
                if (( minor < 28 )); then
                    say "glibc 2.$minor is older than the 2.28 that the Open MPI wheel needs: set HVMPI_MPI=system for the site's mpirun"
                    continue
                fi ;;
        esac
        extras+=("$extra")
    done
    is_set_up ${extras[@]+"${extras[@]}"} && return
    python=$(find_python) || exit
    lock_setup "$python"
    if ! is_set_up ${extras[@]+"${extras[@]}"}; then
        for extra in $(stamped_extras); do
            [[ " ${extras[*]-} " == *" $extra "* ]] || extras+=("$extra")
        done
        (install "$python" ${extras[@]+"${extras[@]}"}) || exit
    fi
    exec 9>&-
}

# What a site's release put there is not for this Python.
unset PYTHONHOME PYTHONPATH
export HVMPI_MPI PYTHONNOUSERSITE=1
# Open MPI wants a home, and as root to be asked twice.
[[ -n ${HOME:-} ]] || export HOME=~
if (( EUID == 0 )); then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
