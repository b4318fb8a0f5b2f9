r"""Mask R-CNN with ViM2-S on COCO, 36 epochs, images of many sizes and crops.

Command:  bash tools/dist_train.sh \
              configs/detection/mask-rcnn_vim2-s_fpn_ms-crop-3x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.
"""

_base_ = './mask-rcnn_vim2-t_fpn_ms-crop-3x_coco.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
