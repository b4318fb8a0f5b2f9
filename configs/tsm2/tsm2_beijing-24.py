"""TSM2 with auxiliary features: PM2.5 in Beijing, look-back 512, horizon 24.

Data: see configs/_base_/tsm2/beijing.py
"""

_base_ = '../_base_/tsm2/beijing.py'

horizon = 24
model = dict(horizon=horizon)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
