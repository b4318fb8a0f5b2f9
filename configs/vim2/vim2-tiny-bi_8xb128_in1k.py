"""Ablation: two scans over the channels of ViM2-T, forward and backward.

Command:  bash tools/dist_train.sh configs/vim2/vim2-tiny-bi_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: the paper gives no number for this size; not measured.
"""

_base_ = './vim2-tiny_8xb128_in1k.py'

model = dict(backbone=dict(channel_scans=2))
