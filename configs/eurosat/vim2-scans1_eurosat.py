"""Ablation: channel mixers with one scan, forward.

Command: python tools/train.py configs/eurosat/vim2-scans1_eurosat.py
"""

_base_ = './vim2_eurosat.py'

model = dict(backbone=dict(channel_scans=1))
