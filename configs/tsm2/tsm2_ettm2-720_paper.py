"""TSM2 as the paper has it, without a linear path, on ETTm2, horizon 720."""

_base_ = './tsm2_ettm2-720.py'

model = {{_base_.paper_model}}
val_evaluator = [dict(type='ForecastMetric')]
test_evaluator = [dict(type='ForecastMetric')]
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{_base_.paper_longest_hooks}}
