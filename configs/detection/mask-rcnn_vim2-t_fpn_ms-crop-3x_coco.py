r"""Mask R-CNN with ViM2-T on COCO, 36 epochs, images of many sizes and crops.

Command:  bash tools/dist_train.sh \
              configs/detection/mask-rcnn_vim2-t_fpn_ms-crop-3x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.

There are no published weights, so it trains from scratch; to start from a classifier of
yours set model.backbone.init_cfg (see docs/your_own_data.md).
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco.py',
]

pretrained = None  # of the stock config: Swin's weights
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
    paramwise_cfg={{_base_.decay}},
)
