"""VMamba's first version, tiny, as a special case of ViM2, by the recipe of ViM2.

Command:  bash tools/dist_train.sh configs/vmamba/vmamba-tiny_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: top-1 82.2; from VMamba's repository, not reproduced.
"""

_base_ = '../vim2/vim2-tiny_8xb128_in1k.py'

model = dict(backbone=dict(arch='vmamba_tiny'))
