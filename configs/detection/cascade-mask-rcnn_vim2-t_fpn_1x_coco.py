r"""Cascade Mask R-CNN with ViM2-T on COCO, 12 epochs.

Command:  bash tools/dist_train.sh \
              configs/detection/cascade-mask-rcnn_vim2-t_fpn_1x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.

There are no published weights, so it trains from scratch; to start from a classifier of
yours set model.backbone.init_cfg (see docs/your_own_data.md).
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    ),
    paramwise_cfg={{_base_.decay}},
)
