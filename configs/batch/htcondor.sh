#!/usr/bin/env bash
# Stands in until the script of the branch `batch` is merged.
HVMPI=${HVMPI:-./run_chain.sh}
exec "$HVMPI" run -c configs/demo.toml
