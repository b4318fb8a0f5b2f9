#!/usr/bin/env bash
# Submit a training to Slurm. It saves GRACE seconds before its time is up, queues again
# and goes on from there; so it does after a preemption or the failure of a node.
#   GPUS=8 GPUS_PER_NODE=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options]
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options]" >&2; exit 2; }
partition=$1 name=$2 config=$3 work_dir=$4
shift 4
per_node=${GPUS_PER_NODE:-8}
train=(python -u "$(dirname "$0")/train.py" "$config" --work-dir "$work_dir"
    --launcher slurm "$@")
mkdir -p "$work_dir"
# shellcheck disable=SC2086  # SBATCH_ARGS may hold several
exec sbatch --partition="$partition" --job-name="$name" --gres="gpu:$per_node" \
    --ntasks="${GPUS:-8}" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --requeue --open-mode=append --signal="USR1@${GRACE:-120}" \
    --output="$work_dir/slurm-%j.log" ${SBATCH_ARGS:-} <<END
#!/usr/bin/env bash
code=0
srun --kill-on-bad-exit=1 $(printf '%q ' "${train[@]}") || code=\$?
# 128 + SIGUSR1: a checkpoint was saved because the time is nearly up.
[ \$code != 138 ] || scontrol requeue "\$SLURM_JOB_ID"
exit \$code
END
