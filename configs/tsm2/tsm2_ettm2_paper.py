"""TSM2 as the paper has it, without a linear path, on ETTm2."""

_base_ = './tsm2_ettm2.py'

model = {{_base_.paper_model}}
val_evaluator = {{_base_.paper_evaluator}}
test_evaluator = {{_base_.paper_evaluator}}
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{_base_.paper_hooks}}
