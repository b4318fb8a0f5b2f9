"""Loaders of small data sets for classification; a config on top says their data."""

loader = dict(num_workers=0, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    **loader,
    batch_size=32,
    sampler=dict(type='DefaultSampler', shuffle=True),
    drop_last=True,
)
val_dataloader = dict(
    **loader, batch_size=100, sampler=dict(type='DefaultSampler', shuffle=False)
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
