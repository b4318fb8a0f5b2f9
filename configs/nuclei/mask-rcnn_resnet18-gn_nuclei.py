"""The stock ResNet-18 with GroupNorm, which does not depend on the other images.

Command: python tools/train.py configs/nuclei/mask-rcnn_resnet18-gn_nuclei.py
Machine: one CPU core. Results: docs/nuclei.md (measured).
"""

_base_ = './mask-rcnn_resnet18_nuclei.py'

model = dict(
    backbone=dict(norm_cfg=dict(_delete_=True, type='GN', num_groups=4)),
)
