"""ETTh2: 7 variates."""

_base_ = './tsm2.py'

model = dict(variates=7)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh2.csv',
    borders=(8640, 11520, 14400),
)
train_dataloader = dict(dataset=dict(**table))
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
