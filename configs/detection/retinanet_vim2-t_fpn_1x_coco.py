"""RetinaNet with ViM2-T on COCO, 12 epochs, by the recipe of our Mask R-CNN.

Command:  bash tools/dist_train.sh configs/detection/retinanet_vim2-t_fpn_1x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.

There are no published weights, so it trains from scratch; to start from a classifier of
yours set model.backbone.init_cfg (see docs/your_own_data.md).
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmdet::swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py',
]

pretrained = None  # of the stock config: Swin's weights
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch='tiny',
        # An output that the neck does not read would get no gradient.
        out_indices=(1, 2, 3),
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[192, 384, 768]),
)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    ),
    paramwise_cfg={{_base_.decay}},
)
