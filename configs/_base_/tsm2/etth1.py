"""ETTh1: 7 variates."""

_base_ = './tsm2.py'

model = dict(variates=7, dropout=0.5)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh1.csv',
    borders=(8640, 11520, 14400),
)
train_dataloader = dict(
    sampler=dict(max_windows=4000),
    dataset=dict(**table),
)
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
