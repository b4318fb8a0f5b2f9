"""The stock ConvNeXt-Atto (3.4 M parameters) on EuroSAT, the recipe of ViM2.

Command: python tools/train.py configs/eurosat/convnext-atto_eurosat.py
"""

_base_ = '../_base_/eurosat/eurosat_64px_20e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ConvNeXt', arch='atto', drop_path_rate=0.1),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=320,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
