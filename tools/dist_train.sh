#!/usr/bin/env bash
# Train on several GPUs of one machine, or of several (NNODES, NODE_RANK, MASTER_ADDR).
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# When a process dies or hangs, all start again, up to MAX_RESTARTS times, and go on from
# the newest complete checkpoint.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options]" >&2; exit 2; }
config=$1 gpus=$2
shift 2
exec torchrun --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" --max-restarts="${MAX_RESTARTS:-3}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
