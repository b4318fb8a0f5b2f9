"""Nuclei and what all networks on them share: Mask R-CNN with slim heads and small
anchors, data, schedule. Trained on crops of 128 px, tested on whole images.

Data: one class in COCO's format, `data/dsb2018_nuclei` (531 + 133 images of at most
512 px, up to 258 nuclei in one of `val`; Data Science Bowl 2018, BBBC038, CC0).
"""

_base_ = [
    './adamw_cosine.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    neck=dict(out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(  # sides from 12 to 136 px
            scales=None,
            octave_base_scale=3,
            scales_per_octave=2,
            strides=[4, 8, 16, 32],
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(
            num_convs=2, in_channels=64, conv_out_channels=32, num_classes=1
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500), rcnn=dict(max_per_img=300)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomCrop', crop_size=(128, 128), recompute_bbox=True),
    dict(type='FilterAnnotations', by_mask=True),
    dict(
        type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale_factor=1.0),  # the mask head asks for the factor
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
root = 'data/dsb2018_nuclei/'
metainfo = dict(classes=('nucleus',), palette=[(220, 20, 60)])
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(min_size=1),
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        metainfo=metainfo,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

epochs = 12
train_cfg = dict(val_interval='${epochs}')
default_hooks = dict(
    logger=dict(interval=19), checkpoint=dict(interval='${epochs}', max_keep_ckpts=1)
)
randomness = dict(seed=0)
