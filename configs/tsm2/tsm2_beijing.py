"""TSM2 with auxiliary features: PM2.5 at 12 stations in Beijing.

Data: python tools/prepare_beijing.py beijing_multisite_long.csv.gz data/beijing

The static features are the stations, one-hot. The future covariates are the weather
that was observed: a perfect forecast of it.
"""

_base_ = '../_base_/tsm2/tsm2.py'

horizon = 24
variates = 12
path = 'data/beijing/pm25.csv'
borders = (0.7, 0.2)
model = dict(
    sign_flip=False,
    mirror=False,
    linear_path=None,
    future_covariates=7,
    static_features=12,
)
weather = dict(
    path='data/beijing/weather.csv',
    layout='long',
    columns=('TEMP', 'PRES', 'DEWP', 'RAIN', 'WSPM', 'wd_sin', 'wd_cos'),
)
auxiliary = dict(future=[weather], static='one_hot')
train_dataloader = dict(dataset=auxiliary)
val_dataloader = dict(dataset=auxiliary)
test_dataloader = dict(dataset=auxiliary)
val_evaluator = {{_base_.paper_evaluator}}
test_evaluator = {{_base_.paper_evaluator}}
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{_base_.paper_hooks}}
