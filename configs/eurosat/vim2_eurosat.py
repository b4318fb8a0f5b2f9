"""A ViM2 of 1.3 M parameters on EuroSAT, 64 px, from scratch.

Command: python tools/train.py configs/eurosat/vim2_eurosat.py
Machine: one CPU core, about 8 minutes. Results: docs/eurosat.md (measured).
"""

_base_ = '../_base_/eurosat_64px_16e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(40, 80, 160), depths=(2, 2, 4)),
        out_indices=(2,),
        d_state=8,
        drop_path_rate=0.1,
        grid_size=4,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=160,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
