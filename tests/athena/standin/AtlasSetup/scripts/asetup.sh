# Stand-in of asetup, to be sourced: sets up one release of the list beside it, once a shell.
# Like the real one it reads variables that are not set, so it does not stand `set -u`.

_standin_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
_standin_state=$_standin_tree/../state

_standin_refuse() {
    echo "AtlasSetup(FATAL): $1" >&2
    export STANDIN_REFUSED=$1
    return 1
}

_standin_asetup() {
    local word name release= how= listed process

    if [ -n "$AtlasVersion" ]; then
        _standin_refuse "$AtlasVersion was set up in this shell, or leaked into it; a release needs a fresh one"
        return
    fi
    for name in $(compgen -e); do
        case $name in
            PYTHONPATH | PYTHONHOME | VIRTUAL_ENV | LD_LIBRARY_PATH | OMPI_* | PMIX_* | PRTE_* | PMI_* | MPI*)
                _standin_refuse "$name leaked into the environment"
                return
                ;;
        esac
    done

    for word in ${1//,/ }; do
        [[ $word =~ ^[0-9]+(\.[0-9]+)+$ ]] && release=$word
    done
    while read -r listed how; do
        [ "$listed" = "$release" ] && break
        how=
    done <"$_standin_tree/AtlasSetup/releases.txt"

    read -r -a process </proc/$BASHPID/stat
    # Process, group and session, so that nothing of it is overlooked later.
    echo "${process[0]} ${process[4]} ${process[5]} $1" >>"$_standin_state/setups.txt"

    case $how in
        well) ;;
        fatal) echo "AtlasSetup(FATAL): the database of releases cannot be read" >&2 ; return 0 ;;
        hang) sleep 3600 ; return 1 ;;
        *) echo "AtlasSetup(FATAL): no release is found for the options $1" >&2 ; return 1 ;;
    esac

    export AtlasVersion=$release STANDIN_RELEASE=$release STANDIN_TREE=$_standin_tree
    export PATH=$_standin_tree/transforms/bin:$PATH
    export PYTHONPATH=$_standin_tree/python LD_LIBRARY_PATH=$_standin_tree/lib
    echo "Using $1 [stand-in] with platform x86_64-none at $_standin_tree"
}

_standin_asetup "$@"
