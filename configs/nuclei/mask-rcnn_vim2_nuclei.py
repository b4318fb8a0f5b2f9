"""Mask R-CNN with a ViM2 of 1.1 M parameters on nuclei, from scratch.

Command: python tools/train.py configs/nuclei/mask-rcnn_vim2_nuclei.py
Machine: one CPU core. Results: docs/nuclei.md (measured).
"""

_base_ = '../_base_/nuclei_128px.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(24, 48, 96, 192), depths=(2, 2, 2, 2)),
        out_indices=(0, 1, 2, 3),
        d_state=4,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=[24, 48, 96, 192]),
)
