"""TSM2 on Exchange: 8 variates, daily, close to random walks.

So the line is not fitted and repeats the last value, and the mixers count only where
validation gives evidence for them.
"""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 8
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/exchange_rate.csv'
borders = (0.7, 0.2)
model = dict(
    centre='last',
    linear_path=dict(maps='shared', centre='last'),
)
val_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='BlendMetric', min_evidence=1.0),
]
custom_hooks = [
    {{_base_.average}},
    dict(type='FitBlendHook'),
    {{_base_.early_stopping}},
]
