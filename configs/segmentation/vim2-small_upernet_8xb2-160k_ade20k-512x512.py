r"""UperNet with ViM2-S on ADE20K, 160,000 iterations, crops of 512 x 512.

Command:  bash tools/dist_train.sh \
              configs/segmentation/vim2-small_upernet_8xb2-160k_ade20k-512x512.py 8
Hardware: 8 GPUs, 2 images each.
Expected: mIoU 50.2, with test-time augmentation (--tta) 51.4; from paper, not
          reproduced.
"""

_base_ = './vim2-tiny_upernet_8xb2-160k_ade20k-512x512.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
