"""Detectors and segmentors on ViM2 take any image size and answer in its pixels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer import ViM2

DIMS = [16, 24, 32]
CONFIG = f"""
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims={DIMS}, depths=(2, 1, 1)),
        out_indices=(0, 1, 2),
        d_state=4,
    ),
    neck=dict(in_channels={DIMS}, out_channels=32, num_outs=3),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8]),
        bbox_head=dict(in_channels=32, fc_out_channels=64, num_classes=1),
        mask_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8]),
        mask_head=dict(
            in_channels=32, conv_out_channels=32, num_convs=1, num_classes=1
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=50), rcnn=dict(sampler=dict(num=32))
    ),
)
"""


def picture(generator, height: int, width: int):
    """Return a noisy picture with a bright rectangle, and its box."""
    h, w = generator.integers(14, min(height, width, 34), 2)
    y, x = generator.integers(0, (height - h, width - w), endpoint=True)
    image = generator.integers(0, 90, (3, height, width))
    image[:, y : y + h, x : x + w] += 130
    return torch.from_numpy(image.astype(np.uint8)), [x, y, x + w, y + h]


def sample(generator, height: int, width: int, scale: float = 1.0) -> dict:
    """Return what a pipeline packs; the original picture has sides / `scale`."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    image, box = picture(generator, height, width)
    mask = np.zeros((1, height, width), np.uint8)
    mask[0, box[1] : box[3], box[0] : box[2]] = 1
    data = DetDataSample(
        metainfo=dict(
            img_shape=(height, width),
            ori_shape=(math.ceil(height / scale), math.ceil(width / scale)),
            scale_factor=(scale, scale),
        )
    )
    data.gt_instances = InstanceData(
        bboxes=torch.tensor([box], dtype=torch.float32),
        labels=torch.zeros(1, dtype=torch.long),
        masks=BitmapMasks(mask, height, width),
    )
    return dict(inputs=image, data_samples=data)


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return intersection over union of two masks."""
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope='module')
def detector(tmp_path_factory) -> nn.Module:
    """Return a small Mask R-CNN that has learnt to find the rectangle."""
    pytest.importorskip('mmdet')
    path: Path = tmp_path_factory.mktemp('config') / 'config.py'
    path.write_text(CONFIG)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(path).model)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = np.random.default_rng(0)
    for _ in range(80):
        sizes = generator.integers(36, 100, (4, 2))
        batch = pseudo_collate([sample(generator, *size) for size in sizes])
        data = model.data_preprocessor(batch, training=True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return model.eval()


SIZES = [(37, 53), (96, 64), (64, 97), (40, 40)]


def check(result, truth: dict, scale: float) -> None:
    """Raise unless the best instance is the rectangle, in original pixels."""
    found = result.pred_instances
    height, width = result.ori_shape
    assert found.masks.shape[1:] == (height, width)
    assert (found.bboxes >= 0).all()
    assert (found.bboxes[:, 0::2] <= width).all()
    assert (found.bboxes[:, 1::2] <= height).all()
    box = truth['data_samples'].gt_instances.bboxes[0] / scale
    wanted = torch.zeros(height, width, dtype=torch.bool)
    x1, y1, x2, y2 = box.round().int().tolist()
    wanted[y1:y2, x1:x2] = True
    boxed = torch.zeros_like(wanted)
    x1, y1, x2, y2 = found.bboxes[0].round().int().tolist()
    boxed[y1:y2, x1:x2] = True
    assert overlap(boxed, wanted) > 0.6
    assert overlap(found.masks[0], wanted) > 0.6


@pytest.mark.slow  # trains a detector
@pytest.mark.parametrize('scale', [1.0, 0.5, 2.0])
def test_boxes_and_masks_of_a_padded_batch(detector, scale):
    generator = np.random.default_rng(1)
    samples = [sample(generator, *size, scale=scale) for size in SIZES]
    with torch.no_grad():
        results = detector.test_step(pseudo_collate(samples))
    for result, truth in zip(results, samples, strict=True):
        check(result, truth, scale)


@pytest.mark.slow  # trains a detector
@pytest.mark.parametrize('size', SIZES)
def test_boxes_and_masks_of_one_image(detector, size):
    truth = sample(np.random.default_rng(2), *size)
    with torch.no_grad():
        (result,) = detector.test_step(pseudo_collate([truth]))
    check(result, truth, 1.0)


@pytest.mark.slow  # trains a detector
@pytest.mark.parametrize('size', [(800, 1344), (1344, 800), (33, 600)])
def test_large_and_long_images(detector, size):
    truth = sample(np.random.default_rng(3), *size)
    with torch.no_grad():
        (result,) = detector.test_step(pseudo_collate([truth]))
    found = result.pred_instances
    assert found.masks.shape == (len(found.bboxes), *size)
    assert found.bboxes.isfinite().all()


@pytest.mark.parametrize('size', [(1, 1), (32, 32), (37, 53), (20, 300)])
def test_label_maps_have_the_size_of_the_image(size):
    """The whole mode gives the backbone the image as it is: here down to 1 x 1 maps."""
    pytest.importorskip('mmseg')
    from mmseg.structures import SegDataSample

    init_default_scope('mmseg')
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=dict(
                type='mmmambamixer.ViM2',
                arch=dict(embed_dims=DIMS, depths=(2, 1, 1)),
                out_indices=(0, 1, 2),
            ),
            decode_head=dict(
                type='UPerHead',
                in_channels=DIMS,
                in_index=[0, 1, 2],
                pool_scales=(1, 2),
                channels=16,
                num_classes=3,
                norm_cfg=dict(type='GN', num_groups=4),
                align_corners=False,
            ),
            test_cfg=ConfigDict(mode='whole'),
        )
    ).eval()
    image = torch.randint(256, (3, *size), dtype=torch.uint8)
    data = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
    with torch.no_grad():
        (result,) = model.test_step(dict(inputs=[image], data_samples=[data]))
    assert result.pred_sem_seg.data.shape == (1, *size)
    assert result.seg_logits.data.isfinite().all()


def test_one_compiled_graph_serves_every_size():
    model = ViM2(arch=dict(embed_dims=[16, 32], depths=[2, 1]), out_indices=(1,)).eval()
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(model, backend=count, fullgraph=True, dynamic=True)
    for size in [(40, 72), (33, 50), (64, 31), (17, 80)]:
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x)[0], model(x)[0])
    assert len(graphs) == 1
