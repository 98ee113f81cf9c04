#!/usr/bin/env bash
# What htcondor.sub starts on each machine: htcondor.sh CORES [arguments of run_chain.sh].
# HTCondor's own scripts let the first machine reach the others; there the campaign is started.

HVMPI=${HVMPI:-./run_chain.sh}
cores=$1
shift

[[ -x $HVMPI ]] || { echo "there is no $HVMPI: set HVMPI to the run_chain.sh of your checkout" >&2; exit 2; }
hosts=$_CONDOR_SCRATCH_DIR/hostfile
if ((_CONDOR_NPROCS > 1)); then
    libexec=$(condor_config_val LIBEXEC) || exit 2
    # Starts an sshd on each machine, and leaves where they listen in the file `contact`.
    # shellcheck source=/dev/null
    . "$libexec/sshd.sh" "$_CONDOR_PROCNO" "$_CONDOR_NPROCS"
    if ((_CONDOR_PROCNO > 0)); then
        # Until the first machine is done, when HTCondor ends the others.
        wait
        sshd_cleanup
        exit 0
    fi
    export HVMPI_SSH=$libexec/condor_ssh
    sort -n "$_CONDOR_SCRATCH_DIR/contact" | awk -v cores="$cores" '{print $2 " slots=" cores}' >"$hosts"
else
    echo "$(hostname) slots=$cores" >"$hosts"
fi

# In its place, so that what HTCondor signals is hvmpi.
exec "$HVMPI" "$@" --hostfile "$hosts" --ranks $((cores * _CONDOR_NPROCS + 1))
