"""ViM2 in the stock models of mmdet, mmseg and mmpretrain, with few lines changed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)

ROOT = Path(__file__).parents[2]
DIMS = [8, 16, 24, 32]
CONFIG = f"""
_base_ = [{str(ROOT / 'configs/_base_/mmmambamixer.py')!r}, '{{base}}']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims={DIMS}, depths=(1, 1, 2, 1)),
        out_indices=(0, 1, 2, 3),
    ),
    {{rest}}
)
"""


def build(folder: Path, *, base: str, rest: str, scope: str) -> nn.Module:
    path = folder / 'config.py'
    path.write_text(CONFIG.format(base=base, rest=rest))
    config = Config.fromfile(path)
    init_default_scope(scope)
    return revert_sync_batchnorm(MODELS.build(config.model))


def check_gradients(model: nn.Module, losses: dict) -> None:
    """Raise unless the losses are finite and reach every part of the backbone."""
    loss, values = model.parse_losses(losses)
    assert all(torch.isfinite(value) for value in values.values())
    loss.backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_mask_rcnn(tmp_path):
    pytest.importorskip('mmdet')
    from mmdet.testing import demo_mm_inputs

    model = build(
        tmp_path,
        base='mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
        rest=f'neck=dict(in_channels={DIMS}),',
        scope='mmdet',
    )
    batch = demo_mm_inputs(1, image_shapes=[(3, 96, 64)], num_items=[2], with_mask=True)
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    assert {'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= losses.keys()
    check_gradients(model, losses)


def test_upernet(tmp_path):
    pytest.importorskip('mmseg')
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    model = build(
        tmp_path,
        base='mmseg::_base_/models/upernet_swin.py',
        rest=f'decode_head=dict(in_channels={DIMS}), '
        f'auxiliary_head=dict(in_channels={DIMS[2]}), '
        'data_preprocessor=dict(size=(64, 96)),',
        scope='mmseg',
    )
    labels = torch.randint(19, (2, 1, 64, 96))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    images = list(torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8))
    batch = dict(inputs=images, data_samples=samples)
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    assert {'decode.loss_ce', 'aux.loss_ce'} <= losses.keys()
    check_gradients(model, losses)


def test_mmpretrain_apis():
    mmpretrain = pytest.importorskip('mmpretrain')
    init_default_scope('mmpretrain')
    config = str(ROOT / 'configs/demo/vim2_digits.py')
    model = mmpretrain.get_model(config).eval()
    assert type(model.backbone).__name__ == 'ViM2'

    picture = np.random.randint(256, size=(40, 56, 3), dtype=np.uint8)
    inferencer = mmpretrain.ImageClassificationInferencer(model)
    (result,) = inferencer(picture)
    scores = result['pred_scores']
    assert scores.shape == (10,)
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    assert result['pred_label'] == scores.argmax()
