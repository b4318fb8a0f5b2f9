"""Mask R-CNN with ViM2-B on COCO, 12 epochs.

Command:  bash tools/dist_train.sh configs/detection/mask-rcnn_vim2-b_fpn_1x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.
"""

_base_ = './mask-rcnn_vim2-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.5),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
