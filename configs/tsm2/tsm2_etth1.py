"""TSM2 on ETTh1: 7 variates of a transformer, hourly."""

_base_ = '../_base_/tsm2/tsm2.py'

variates = 7
path = '{{$MMMAMBAMIXER_DATA:data}}/timeseries/ETTh1.csv'
borders = (8640, 11520, 14400)
few_windows = '${horizon >= 336}'  # that do not overlap
model = dict(
    dropout=0.5,
    mirror='${True if few_windows else None}',
    linear_path=dict(
        penalties_per_decade='${3 if few_windows else None}',
        blocks='${4 if long_horizon else None}',
    ),
)
train_dataloader = dict(sampler=dict(max_windows=4000))
optim_wrapper = dict(optimizer=dict(lr='${5e-4 if few_windows else 1e-3}'))
