#!/usr/bin/env bash
# A campaign as a batch job of PBS (OpenPBS, PBS Professional, TORQUE), and a next job where its
# time is over before it is done:
#
#   qsub configs/batch/pbs.sh
#
# Paths are relative to where qsub is called. Checked with commands that stand in, not in a real PBS.

#PBS -N hvmpi
#PBS -j oe
# A task (mpiprocs) is a core that computes; mpirun starts one rank more, the master, which sleeps.
# Several nodes must see this directory under the same path. TORQUE: -l nodes=1:ppn=2,mem=4gb
#PBS -l select=1:ncpus=2:mpiprocs=2:mem=4gb
#PBS -l walltime=1:00:00

cd "$PBS_O_WORKDIR" || exit 2
# The checkout's run_chain.sh, and its environment. It sets up on first use, from PyPI: run it once
# where there is a network (HVMPI --version) before compute nodes without one need it. Another one:
# qsub -v HVMPI=/path/to/run_chain.sh ...
HVMPI=${HVMPI:-./run_chain.sh}
# How many jobs may follow each other before it is given up; this is number...
JOBS=20
NUMBER=${NUMBER:-1}

[[ -x $HVMPI ]] || { echo "there is no $HVMPI: set HVMPI to the run_chain.sh of your checkout" >&2; exit 2; }
# Ranks on other nodes are started by PBS where it has a command for that, else by ssh.
if command -v pbs_tmrsh >/dev/null; then
    export HVMPI_SSH=${HVMPI_SSH:-pbs_tmrsh}
fi
# `--rerun auto` goes on with the run of this config that was cut short, or begins a new one;
# `--time-limit auto` asks qstat for the walltime, and ends before it.
# A signal of PBS reaches every process of the job. This one outlives SIGUSR1 (qsig, or a site's
# warning before the end), and SIGTERM (qdel), after which no job is to follow.
trap : USR1
trap JOBS=0 TERM
"$HVMPI" run -c configs/demo.toml --rerun auto --time-limit auto
code=$?

# 0: every job done; 1: some failed for good; 2: the config is wrong; 3: there is more to do, and
# above 128 something was killed.
if (((code == 3 || code > 128) && NUMBER < JOBS)); then
    qsub -v "HVMPI=$HVMPI,NUMBER=$((NUMBER + 1))" "$0"
fi
exit "$code"
