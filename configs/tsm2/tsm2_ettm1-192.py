"""TSM2 on ETTm1, look-back 512, horizon 192."""

_base_ = '../_base_/tsm2/ettm1.py'

horizon = 192
model = dict(horizon=horizon)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
