"""The same detector with mmdet's ResNet-18, as narrow as ViM2 is, from scratch.

Its BatchNorms are trained, and nothing is frozen.

Command: python tools/train.py configs/nuclei/mask-rcnn_resnet18_nuclei.py
Machine: one CPU core. Results: docs/nuclei.md (measured).
"""

_base_ = '../_base_/nuclei_128px.py'

model = dict(
    backbone=dict(
        depth=18,
        base_channels=20,
        stem_channels=20,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[20, 40, 80, 160]),
)
