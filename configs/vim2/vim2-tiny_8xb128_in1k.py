"""ViM2-T on ImageNet-1K, 224 x 224, 300 epochs: the recipe of all configs here.

Command:  bash tools/dist_train.sh configs/vim2/vim2-tiny_8xb128_in1k.py 8
Hardware: 8 GPUs, 128 images each; with `--amp --cfg-options
          optim_wrapper.dtype=bfloat16` in mixed precision.
Expected: top-1 82.7; from paper, not reproduced.

Optimiser, batch and schedule are the paper's. It is silent about augmentation, drop
path, clipping and EMA: these are VMamba's, the drop path rates ours.
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmpretrain::_base_/models/swin_transformer/tiny_224.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True, type='mmmambamixer.ViM2', arch='tiny', drop_path_rate=0.2
    )
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg={{_base_.decay}},
)
custom_hooks = [dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL')]
