"""The ablation of tsm2_beijing.py: without the weather and the stations."""

_base_ = './tsm2_beijing.py'

model = dict(future_covariates=0, static_features=0)
alone = dict(future=None, static=None)
train_dataloader = dict(dataset=alone)
val_dataloader = dict(dataset=alone)
test_dataloader = dict(dataset=alone)
