"""Mask R-CNN with a ViM2 of 1.1 M parameters learns 26 COCO photographs by heart.

For real sizes, crowds and 80 classes in training, the stock metric and pictures; far
too few for other images. Validates on the training and on the validation images.
Data: a folder in COCO's layout as `data/coco_free53` (link or copy).

Command: python tools/train.py configs/coco_free53/mask-rcnn_vim2_coco-free53.py
Machine: one CPU core. Results: docs/nuclei.md (measured).
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(24, 48, 96, 192), depths=(2, 2, 2, 2)),
        out_indices=(0, 1, 2, 3),
        d_state=4,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=400, max_per_img=400),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=400)),
)

size = (500, 300)  # (1333, 800) is COCO's usual; this fits a CPU
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
root = 'data/coco_free53/'
train_json = 'annotations/instances_train2017.json'
val_json = 'annotations/instances_val2017.json'
train_images = dict(
    type='CocoDataset',
    data_root=root,
    ann_file=train_json,
    data_prefix=dict(img='train2017/'),
    test_mode=True,
    pipeline=test_pipeline,
)
val_images = dict(train_images, ann_file=val_json, data_prefix=dict(img='val2017/'))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True, type='ConcatDataset', datasets=[train_images, val_images]
    ),
)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=val_images)
metric = dict(type='CocoMetric', metric=['bbox', 'segm'])
val_evaluator = dict(
    _delete_=True,
    type='MultiDatasetsEvaluator',
    metrics=[
        dict(metric, ann_file=root + train_json),
        dict(metric, ann_file=root + val_json),
    ],
    dataset_prefixes=['train', 'val'],
)
test_evaluator = dict(ann_file=root + val_json)

epochs = 100
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg={{_base_.decay}},
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=50),
    dict(
        type='CosineAnnealingLR',
        T_max='${epochs}',
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs='${epochs}', val_interval='${epochs}')
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(
    logger=dict(interval=13), checkpoint=dict(interval='${epochs}', max_keep_ckpts=1)
)
randomness = dict(seed=0)
