"""TSM2 on Exchange: 8 variates, daily, close to random walks.

So the line is not fitted and repeats the last value, and the mixers count only where
validation gives evidence for them.
"""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 8
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/exchange_rate.csv'
borders = (0.7, 0.2)
long_horizon = False  # one recipe for all horizons
model = dict(
    dropout=0.5,
    centre='last',
    linear_path=dict(maps='shared', centre='last'),
)
train_dataloader = dict(sampler=dict(max_windows=4000))
val_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='BlendMetric', prior=0.0, min_evidence=1.0),
]
custom_hooks = [dict(type='FitBlendHook'), {{_base_.early_stopping}}]
