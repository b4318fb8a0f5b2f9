"""Ablation ViM2-MLP: MLPs for the channel mixers of ViM2-S, no averaging.

Command:  bash tools/dist_train.sh configs/vim2/vim2-small-mlp_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: top-1 79.1 (40 M parameters, here 40.3 M); from paper, not reproduced.
"""

_base_ = './vim2-small_8xb128_in1k.py'

model = dict(backbone=dict(channel_mixer='mlp', averaging=False))
