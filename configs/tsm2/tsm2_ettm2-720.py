"""TSM2 on ETTm2, look-back 512, horizon 720."""

_base_ = '../_base_/tsm2/ettm2.py'

horizon = 720
model = dict(
    horizon=horizon,
    dropout=0.3,
    sign_flip=True,
    linear_path=dict(blocks=4),
)
train_dataloader = dict(dataset=dict(horizon=horizon))
val_dataloader = dict(dataset=dict(horizon=horizon))
test_dataloader = dict(dataset=dict(horizon=horizon))
val_evaluator = {{_base_.longest_evaluator}}
custom_hooks = {{_base_.longest_hooks}}
