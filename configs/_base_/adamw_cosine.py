"""AdamW, a warm-up of one epoch, then a cosine: a start for own data, from scratch.

A config on top says `epochs`, which may be an option: `--cfg-options epochs=2`.
See docs/your_own_data.md.
"""

_base_ = './mmmambamixer.py'

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg={{_base_.decay}},
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin='${1 if epochs > 1 else 0}',
        end='${epochs}',
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs='${epochs}', val_interval=1)
val_cfg = dict()
test_cfg = dict()
