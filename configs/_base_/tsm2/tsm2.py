"""TSM2 and the recipe that all forecasting configs share; a table's base comes on top.

The protocol is the field's: look-back 512, stride 1, every window scored, series scaled
by the train rows, model selection by validation. See docs/forecasting.md.
"""

_base_ = '../mmmambamixer.py'

default_scope = 'mmmambamixer'
model = dict(
    type='TSM2',
    look_back=512,
    patch_len=16,
    stride=16,
    dropout=0.3,
    sign_flip=True,
    centre='mean',
    linear_path=dict(maps='variate'),
)

loader = dict(num_workers=0, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    **loader,
    batch_size=32,
    sampler=dict(type='RandomWindowSampler', max_windows=6400),
    dataset=dict(type='SeriesDataset', split='train', look_back=512),
)
val_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SeriesDataset', split='val', look_back=512),
)
test_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SeriesDataset', split='test', look_back=512),
)
val_evaluator = [dict(type='ForecastMetric'), dict(type='BlendMetric')]
test_evaluator = [
    dict(type='ForecastMetric'),
    dict(type='ForecastMetric', key='line', prefix='line'),
    dict(type='ForecastMetric', key='mixers', prefix='mixers'),
]

epochs = 4
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
        end=epochs,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=1)
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
custom_hooks = [
    dict(type='FitLinearPathHook'),
    dict(type='FitBlendHook'),
    early_stopping,
]
randomness = dict(seed=0)

# What the *_paper.py configs take: no linear path, nothing to blend.
paper_model = dict(linear_path=None, centre='mean')
paper_early_stopping = {**early_stopping, 'monitor': 'forecast/mse'}
paper_hooks = [paper_early_stopping]

# What horizon 720 takes, whose validation part has few windows that do not overlap:
# weights averaged over about an epoch, rather than those of the luckiest one, and a
# blend that is drawn to the line.
average = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.005)
longest_hooks = [average, *custom_hooks]
longest_evaluator = [dict(type='ForecastMetric'), dict(type='BlendMetric', prior=0.0)]
paper_longest_hooks = [average, paper_early_stopping]
