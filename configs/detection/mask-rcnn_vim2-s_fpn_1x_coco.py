"""Mask R-CNN with ViM2-S on COCO, 12 epochs.

Command:  bash tools/dist_train.sh configs/detection/mask-rcnn_vim2-s_fpn_1x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: box AP 48.5, mask AP 43.1; from paper (it names no schedule), not reproduced.
"""

_base_ = './mask-rcnn_vim2-t_fpn_1x_coco.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
