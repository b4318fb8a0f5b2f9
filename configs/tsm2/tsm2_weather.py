"""TSM2 on Weather: 21 variates, every 10 minutes, some cells missing."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 21
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/weather.csv'
borders = (0.7, 0.2)
model = dict(
    dropout=0.2,
    sign_flip=False,
    linear_path=dict(blocks='${4 if long_horizon else None}'),
)
gaps = dict(irregular=True, missing_values=(-9999,))
train_dataloader = dict(sampler=dict(max_windows=4000), dataset=gaps)
val_dataloader = dict(dataset=gaps)
test_dataloader = dict(dataset=gaps)
