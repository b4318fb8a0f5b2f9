"""ETTm2: 7 variates."""

_base_ = './tsm2.py'

model = dict(variates=7, dropout=0.2, sign_flip=False)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTm2.csv',
    borders=(34560, 46080, 57600),
)
train_dataloader = dict(dataset=dict(**table))
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
