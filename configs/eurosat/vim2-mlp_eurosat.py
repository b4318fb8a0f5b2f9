"""Ablation ViM2-MLP: an MLP instead of each channel mixer, no averaging.

Command: python tools/train.py configs/eurosat/vim2-mlp_eurosat.py
"""

_base_ = './vim2_eurosat.py'

model = dict(backbone=dict(channel_mixer='mlp', averaging=False))
