"""A ViM2 of 0.18 M parameters on spectrograms of spoken digits, from scratch.

Command: python tools/train.py configs/spoken_digits/vim2_spoken-digits.py
Results: docs/spoken_digits.md (measured).
"""

_base_ = '../_base_/spoken_digits.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(20, 60), depths=(2, 4)),
        in_channels=1,
        out_indices=(1,),
        d_state=4,
        grid_size=4,
        drop_path_rate=0.0,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=60,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)
