"""TSM2 and the recipe that all forecasting configs share; a table comes on top.

The protocol is the field's: look-back 512, stride 1, every window scored, series scaled
by the train rows, model selection by validation. One recipe for all tables and
horizons: see "One rule" in docs/forecasting.md.

A config on top says `variates`, `path` and `borders` of its table. These and the names
below may be options: `--cfg-options horizon=336 epochs=2`. What follows from them is
computed when all is merged: '${horizon}'. See docs/configs.md.
"""

_base_ = '../mmmambamixer.py'

default_scope = 'mmmambamixer'
look_back = 512
horizon = 96
epochs = 4

model = dict(
    type='TSM2',
    look_back='${look_back}',
    horizon='${horizon}',
    variates='${variates}',
    patch_len=16,
    stride=16,
    dropout=0.3,
    sign_flip=True,
    mirror=True,
    centre='mean',
    linear_path=dict(maps='variate', penalties_per_decade=3, blocks=4),
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
    sampler=dict(type='RandomWindowSampler', max_windows=4000),
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
val_evaluator = [dict(type='ForecastMetric'), dict(type='BlendMetric')]
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
# The mean of all weights so far, step s with a share that grows as s ** 3: mostly those
# of the last quarter, however long the training.
average = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=4, momentum=1e-6)
custom_hooks = [
    average,
    dict(type='FitLinearPathHook'),
    dict(type='FitBlendHook'),
    early_stopping,
]
randomness = dict(seed=0)

# What the *_paper.py configs take: no linear path, nothing to blend.
paper_model = dict(linear_path=None, centre='mean')
paper_evaluator = [dict(type='ForecastMetric')]
paper_hooks = [
    average,
    {**early_stopping, 'monitor': 'forecast/mse'},
]
