"""Spectrograms of spoken digits and the recipe that all networks on them share.

Data: python tools/make_spectrograms.py data/free-spoken-digit-dataset/recordings
An option chooses another split, here the speaker of the test:
    --cfg-options data_root=data/spectrograms/theo
"""

_base_ = [
    './adamw_cosine.py',
    './small_images.py',
    'mmpretrain::_base_/default_runtime.py',
]

data_root = 'data/spectrograms/own'
load = dict(type='LoadImageFromFile', color_type='grayscale')
train_pipeline = [
    load,
    dict(type='RandomCrop', crop_size=(32, 64), padding=(8, 2)),  # in time, in pitch
    dict(type='PackInputs'),
]
test_pipeline = [load, dict(type='PackInputs')]
dataset = dict(type='CustomDataset', data_root='${data_root}', data_prefix='')
train_dataloader = dict(
    dataset=dict(**dataset, ann_file='train.txt', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(**dataset, ann_file='test.txt', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
data_preprocessor = dict(num_classes=10, mean=[59.3], std=[74.9], to_rgb=False)

epochs = 5
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(val_interval=5)
default_hooks = dict(
    logger=dict(interval=25), checkpoint=dict(interval='${epochs}', max_keep_ckpts=1)
)
randomness = dict(seed=0)
