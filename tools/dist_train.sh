#!/usr/bin/env bash
# Train on several GPUs of one machine, or of several (NNODES, MASTER_ADDR).
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# When a process dies or hangs, all start again, up to MAX_RESTARTS times, and go on from
# the newest complete checkpoint.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options]" >&2; exit 2; }
config=$1 gpus=$2
shift 2
# A store of its own for each try: the second would find the first one's addresses.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
exec torchrun --nnodes="${NNODES:-1}" --rdzv-backend=c10d --rdzv-id="${RUN_ID:-train}" \
    --rdzv-endpoint="${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}" \
    --nproc_per_node="$gpus" --max-restarts="${MAX_RESTARTS:-3}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
