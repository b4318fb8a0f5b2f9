"""TSM2 on Weather: 21 variates, every 10 minutes, some cells missing.

Rain, wind and radiation are bounded on one side, so windows are not turned upside down.
"""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 21
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/weather.csv'
borders = (0.7, 0.2)
model = dict(sign_flip=False, mirror=False)
gaps = dict(irregular=True, missing_values=(-9999,))
train_dataloader = dict(dataset=gaps)
val_dataloader = dict(dataset=gaps)
test_dataloader = dict(dataset=gaps)
