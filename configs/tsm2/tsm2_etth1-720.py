"""TSM2 on ETTh1, look-back 512, horizon 720."""

_base_ = '../_base_/tsm2/etth1.py'

horizon = 720
model = dict(
    horizon=horizon,
    mirror=True,
    linear_path=dict(penalties_per_decade=3, blocks=4),
)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
val_evaluator = {{_base_.longest_evaluator}}
custom_hooks = {{_base_.longest_hooks}}
