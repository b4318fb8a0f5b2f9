"""TSM2 on ETTm2, look-back 512, horizon 336."""

_base_ = '../_base_/tsm2/ettm2.py'

horizon = 336
model = dict(horizon=horizon)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
