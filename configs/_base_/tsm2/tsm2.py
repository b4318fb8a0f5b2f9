"""TSM2 and the recipe that all forecasting configs share; a table comes on top.

The protocol is the field's: look-back 512, stride 1, every window scored, series scaled
by the train rows, model selection by validation. See docs/forecasting.md.

A config on top says `variates`, `path` and `borders` of its table. These and the names
below may be options: `--cfg-options horizon=336 epochs=2`. What follows from them is
computed when all is merged: '${horizon}'. See docs/configs.md.
"""

_base_ = '../mmmambamixer.py'

default_scope = 'mmmambamixer'
look_back = 512
horizon = 96
epochs = 4
# At horizon 720 the validation part has few windows that do not overlap. So weights are
# averaged over about an epoch, rather than taken from the luckiest one, and the blend
# is drawn to the line.
long_horizon = '${horizon >= 720}'

model = dict(
    type='TSM2',
    look_back='${look_back}',
    horizon='${horizon}',
    variates='${variates}',
    patch_len=16,
    stride=16,
    dropout=0.3,
    sign_flip=True,
    centre='mean',
    linear_path=dict(maps='variate'),
)

loader = dict(num_workers=0, collate_fn=dict(type='default_collate'))
series = dict(
    type='SeriesDataset',
    path='${path}',
    borders='${borders}',
    look_back='${look_back}',
    horizon='${horizon}',
)
train_dataloader = dict(
    **loader,
    batch_size=32,
    sampler=dict(type='RandomWindowSampler', max_windows=6400),
    dataset=dict(**series, split='train'),
)
val_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**series, split='val'),
)
test_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**series, split='test'),
)
val_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='BlendMetric', prior='${0.0 if long_horizon else None}'),
]
test_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='ForecastMetric', key='line', prefix='line'),
    dict(type='ForecastMetric', key='mixers', prefix='mixers'),
]

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg={{_base_.decay}},
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, end=0.2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=0.2,
        end='${epochs}',
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs='${epochs}', val_interval=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best=['blend/mse', 'blend/mixers_mse'],
        rule='less',
    ),
)
early_stopping = dict(
    type='EarlyStoppingHook',
    monitor='blend/mse',
    rule='less',
    min_delta=0.0,
    patience=3,
)
average = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.005)
custom_hooks = [
    '${average if long_horizon else None}',
    dict(type='FitLinearPathHook'),
    dict(type='FitBlendHook'),
    early_stopping,
]
randomness = dict(seed=0)

# What the *_paper.py configs take: no linear path, nothing to blend.
paper_model = dict(linear_path=None, centre='mean')
paper_evaluator = [dict(type='ForecastMetric')]
paper_hooks = [
    '${average if long_horizon else None}',
    {**early_stopping, 'monitor': 'forecast/mse'},
]
