"""Ablation ViM2-MLP in tiny: MLPs for the channel mixers, no averaging.

Command:  bash tools/dist_train.sh configs/vim2/vim2-tiny-mlp_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: the paper gives no number for this size; not measured.
"""

_base_ = './vim2-tiny_8xb128_in1k.py'

model = dict(backbone=dict(channel_mixer='mlp', averaging=False))
