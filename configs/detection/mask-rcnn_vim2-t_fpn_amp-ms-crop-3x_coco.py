r"""Mask R-CNN with ViM2-T on COCO, 36 epochs, in mixed precision.

Command:  bash tools/dist_train.sh \
              configs/detection/mask-rcnn_vim2-t_fpn_amp-ms-crop-3x_coco.py 8
Hardware: 8 GPUs, 2 images each.
Expected: no figure in the paper, none measured here.

float16, because the RoIAlign of mmcv has no bfloat16. The scans keep their states in
fp32, whatever the input.
"""

_base_ = './mask-rcnn_vim2-t_fpn_ms-crop-3x_coco.py'

optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
