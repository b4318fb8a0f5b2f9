"""Ablation: channel mixers with two scans, forward and backward.

Command: python tools/train.py configs/eurosat/vim2-scans2_eurosat.py
"""

_base_ = './vim2_eurosat.py'

model = dict(backbone=dict(channel_scans=2))
