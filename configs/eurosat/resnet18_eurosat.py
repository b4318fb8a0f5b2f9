"""The stock ResNet-18 (11.2 M parameters) on EuroSAT, the recipe of ViM2.

Command: python tools/train.py configs/eurosat/resnet18_eurosat.py
"""

_base_ = '../_base_/eurosat_64px_16e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
