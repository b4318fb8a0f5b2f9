"""TSM2 as the paper has it, without a linear path, on Weather."""

_base_ = './tsm2_weather.py'

model = {{_base_.paper_model}}
val_evaluator = {{_base_.paper_evaluator}}
test_evaluator = {{_base_.paper_evaluator}}
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{_base_.paper_hooks}}
