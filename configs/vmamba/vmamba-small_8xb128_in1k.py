"""VMamba's first version, small, as a special case of ViM2, by the recipe of ViM2.

Command:  bash tools/dist_train.sh configs/vmamba/vmamba-small_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each.
Expected: top-1 83.5; from VMamba's repository, not reproduced.
"""

_base_ = '../vim2/vim2-tiny_8xb128_in1k.py'

model = dict(backbone=dict(arch='vmamba_small', drop_path_rate=0.3))
