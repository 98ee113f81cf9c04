#!/usr/bin/env bash
# Stands in until the script of the branch `batch` is merged.
#PBS -N hvmpi
#PBS -l select=1:ncpus=2
#PBS -l walltime=01:00:00
cd -- "$PBS_O_WORKDIR" || exit 2
HVMPI=${HVMPI:-./run_chain.sh}
exec "$HVMPI" run -c configs/demo.toml --time-limit 3600
