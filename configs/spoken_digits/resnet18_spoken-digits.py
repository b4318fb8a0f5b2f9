"""The stock ResNet-18 for small images, of 8 channels, the recipe of ViM2.

As many parameters (0.18 M); a step of training takes about as long.
Command: python tools/train.py configs/spoken_digits/resnet18_spoken-digits.py
"""

_base_ = '../_base_/spoken_digits.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        in_channels=1,
        stem_channels=8,
        base_channels=8,
        out_indices=(3,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
