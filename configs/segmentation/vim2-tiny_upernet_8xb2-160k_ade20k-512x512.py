r"""UperNet with ViM2-T on ADE20K, 160,000 iterations, crops of 512 x 512.

Command:  bash tools/dist_train.sh \
              configs/segmentation/vim2-tiny_upernet_8xb2-160k_ade20k-512x512.py 8
Hardware: 8 GPUs, 2 images each.
Expected: mIoU 48.6, with test-time augmentation (--tta) 49.9; from paper, not
          reproduced.

There are no published weights, so it trains from scratch; to start from a classifier of
yours set model.backbone.init_cfg (see docs/your_own_data.md).
"""

_base_ = [
    '../_base_/mmmambamixer.py',
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
]

checkpoint_file = None  # of the stock config: Swin's weights
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(
    paramwise_cfg={{_base_.decay}},
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
