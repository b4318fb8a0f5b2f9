"""Exchange: 8 variates, close to random walks.

So the line is not fitted and repeats the last value, and the mixers count only where
validation gives evidence for them.
"""

_base_ = './tsm2.py'

model = dict(
    variates=8,
    dropout=0.5,
    centre='last',
    linear_path=dict(maps='shared', centre='last'),
)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/exchange_rate.csv',
    borders=(0.7, 0.2),
)
train_dataloader = dict(
    sampler=dict(max_windows=4000),
    dataset=dict(**table),
)
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
val_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='BlendMetric', prior=0.0, min_evidence=1.0),
]
custom_hooks = [
    dict(type='FitBlendHook'),
    dict(
        type='EarlyStoppingHook',
        monitor='blend/mse',
        rule='less',
        min_delta=0.0,
        patience=3,
    ),
]
