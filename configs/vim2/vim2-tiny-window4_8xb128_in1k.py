"""Ablation: ViM2-T whose mixers average the 4 newest maps, not all.

Command:  bash tools/dist_train.sh configs/vim2/vim2-tiny-window4_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: the paper gives no number for this size; not measured.
"""

_base_ = './vim2-tiny_8xb128_in1k.py'

model = dict(backbone=dict(max_connections=4))
