r"""Mask R-CNN with ViM2-T on COCO, 12 epochs, layer-wise learning rates.

Command:  bash tools/dist_train.sh \
              configs/detection/mask-rcnn_vim2-t_fpn_1x-layer-decay_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.

For fine-tuning: each mixer learns 0.9 times as fast as the one after it, so it wants
starting weights in model.backbone.init_cfg (see docs/your_own_data.md).
"""

_base_ = './mask-rcnn_vim2-t_fpn_1x_coco.py'

optim_wrapper = dict(
    constructor='mmmambamixer.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
