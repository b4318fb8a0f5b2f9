"""Ablation: token mixers only, no channel mixer.

Command: python tools/train.py configs/eurosat/vim2-token-only_eurosat.py
"""

_base_ = './vim2_eurosat.py'

model = dict(backbone=dict(channel_mixer='none'))
