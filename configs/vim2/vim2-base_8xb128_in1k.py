"""ViM2-B on ImageNet-1K, 224 x 224, 300 epochs.

Command:  bash tools/dist_train.sh configs/vim2/vim2-base_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: top-1 83.9; from paper, not reproduced.
"""

_base_ = './vim2-tiny_8xb128_in1k.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.5),
    head=dict(in_channels=1024),
)
