"""PM2.5 at 12 stations in Beijing, with the weather of the horizon and the station.

Data: python tools/prepare_beijing.py beijing_multisite_long.csv.gz data/beijing

The future covariates are the weather that was observed: a perfect forecast of it.
"""

_base_ = './tsm2.py'

model = dict(
    variates=12,
    dropout=0.2,
    sign_flip=False,
    linear_path=None,
    future_covariates=7,
    static_features=12,
)
weather = dict(
    path='data/beijing/weather.csv',
    layout='long',
    columns=('TEMP', 'PRES', 'DEWP', 'RAIN', 'WSPM', 'wd_sin', 'wd_cos'),
)
table = dict(
    path='data/beijing/pm25.csv',
    borders=(0.7, 0.2),
    future=[weather],
    static='one_hot',
)
train_dataloader = dict(dataset=dict(**table))
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
val_evaluator = [dict(type='ForecastMetric')]
test_evaluator = [dict(type='ForecastMetric')]
default_hooks = dict(checkpoint=dict(save_best='forecast/mse'))
custom_hooks = {{_base_.paper_hooks}}
