"""Ablation: each mixer reads the newest map only.

Command: python tools/train.py configs/eurosat/vim2-no-averaging_eurosat.py
"""

_base_ = './vim2_eurosat.py'

model = dict(backbone=dict(averaging=False))
