"""EuroSAT at 64 px and the recipe that all networks on it share: data and schedule.

Data: 10 classes of Sentinel-2 land cover in class folders, `data/eurosat_3k/train` and
`data/eurosat_3k/test` (2,400 + 600 images of the RGB set, arXiv:1709.00029).
"""

_base_ = [
    './mmmambamixer.py',
    './small_images.py',
    'mmpretrain::_base_/default_runtime.py',
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='RandomCrop', crop_size=64, padding=6, padding_mode='reflect'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
dataset = dict(type='CustomDataset', data_root='data/eurosat_3k')
train_dataloader = dict(
    dataset=dict(**dataset, data_prefix='train', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(**dataset, data_prefix='test', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
data_preprocessor = dict(
    num_classes=10,
    mean=[88.6, 97.7, 104.4],
    std=[51.7, 34.9, 29.7],
    to_rgb=True,
)

epochs = 16
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
train_cfg = dict(by_epoch=True, max_epochs='${epochs}', val_interval=4)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(
    logger=dict(interval=25), checkpoint=dict(interval='${epochs}', max_keep_ckpts=1)
)
randomness = dict(seed=0)
