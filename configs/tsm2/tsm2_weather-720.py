"""TSM2 on Weather, look-back 512, horizon 720."""

_base_ = '../_base_/tsm2/weather.py'

horizon = 720
model = dict(
    horizon=horizon,
    linear_path=dict(blocks=4),
)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
val_evaluator = {{_base_.longest_evaluator}}
custom_hooks = {{_base_.longest_hooks}}
