"""Weather: 21 variates."""

_base_ = './tsm2.py'

model = dict(variates=21, dropout=0.2, sign_flip=False)
table = dict(
    path='{{$MMMAMBAMIXER_DATA:data}}/timeseries/weather.csv',
    borders=(0.7, 0.2),
    irregular=True,
    missing_values=(-9999,),
)
train_dataloader = dict(
    sampler=dict(max_windows=4000),
    dataset=dict(**table),
)
val_dataloader = dict(dataset=dict(**table))
test_dataloader = dict(dataset=dict(**table))
