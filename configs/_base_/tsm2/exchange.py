"""Exchange: 8 variates."""

_base_ = './tsm2.py'

model = dict(variates=8)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/exchange_rate.csv',
    borders=(0.7, 0.2),
)
train_dataloader = dict(dataset=dict(**table))
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
