#!/usr/bin/env bash
# A campaign as a batch job of Slurm, until it is done, however many time limits that takes:
#
#   sbatch configs/batch/slurm.sh
#
# Paths are relative to where sbatch is called. Options of sbatch win over the lines below:
#   sbatch --ntasks=32 --time=4:00:00 configs/batch/slurm.sh

#SBATCH --job-name=hvmpi
#SBATCH --output=hvmpi-%j.log
#SBATCH --open-mode=append
# A task is a core that computes; mpirun starts one rank more, the master, which sleeps. Tasks may
# be on several nodes, which must see this directory under the same path.
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
# The open chain takes 300 MB a job, with pile-up 500 MB.
#SBATCH --mem-per-cpu=1G
#SBATCH --time=1:00:00
# Slurm may start this again, after preemption or a lost node: what is done stays done.
#SBATCH --requeue
# Two minutes before the end the campaign is told to stop; hvmpi knows the time limit too.
#SBATCH --signal=B:USR1@120

# The checkout's run_chain.sh, and its environment. It sets up on first use, from PyPI: run it once
# where there is a network (HVMPI --version) before compute nodes without one need it.
HVMPI=${HVMPI:-./run_chain.sh}
# mpirun, which is started again after a loss; or srun, with the PMIx of the site's Slurm.
START=${START:-mpirun}
# How often this may be started before it is given up.
STARTS=20

# `--rerun auto` goes on with the run of this config that was cut short, or begins a new one.
campaign=(-c configs/demo.toml --rerun auto --time-limit auto)

[[ -x $HVMPI ]] || { echo "there is no $HVMPI: set HVMPI to the run_chain.sh of your checkout" >&2; exit 2; }
if [[ $START == srun ]]; then
    python=$(dirname -- "$HVMPI")/.venv/bin/python
    srun --mpi=pmix --ntasks=$((SLURM_NTASKS + 1)) --overcommit --cpu-bind=none --kill-on-bad-exit \
        "$python" -P -m hvmpi run "${campaign[@]}" &
else
    "$HVMPI" run "${campaign[@]}" &
fi
# Bash hands on no signal by itself.
trap 'kill -USR1 $!' USR1
wait $!
code=$?
if ((code > 128)); then
    # The signal cut the wait short.
    wait $!
    code=$?
fi

# 0: every job done; 1: some failed for good; 2: the config is wrong; 3: there is more to do, and
# above 128 something was killed.
if (((code == 3 || code > 128) && ${SLURM_RESTART_COUNT:-0} + 1 < STARTS)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
