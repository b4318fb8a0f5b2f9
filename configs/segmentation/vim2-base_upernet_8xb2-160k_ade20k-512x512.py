r"""UperNet with ViM2-B on ADE20K, 160,000 iterations, crops of 512 x 512.

Command:  bash tools/dist_train.sh \
              configs/segmentation/vim2-base_upernet_8xb2-160k_ade20k-512x512.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.
"""

_base_ = './vim2-tiny_upernet_8xb2-160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.5),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
