"""What a model reads and tells apart, by attributes that stock parts use otherwise."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmmambamixer.preflight.data.first_samples import check_image
from mmmambamixer.preflight.model import (
    check_num_classes,
    check_preprocessor,
    input_channels,
)


def model_of(backbone: nn.Module, channels: int = 3, **parts: nn.Module) -> nn.Module:
    """Return a model for images of some channels."""
    preprocessor = nn.Module()
    preprocessor.mean, preprocessor.std = torch.zeros(channels), torch.ones(channels)
    return nn.ModuleDict(
        dict(backbone=backbone, data_preprocessor=preprocessor, **parts)
    )


def stem(says: int, reads: int) -> nn.Module:
    """Return a backbone that says other channels than its first layer may read."""
    backbone = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(reads, 8, 3))
    backbone.in_channels = says
    return backbone


@pytest.mark.parametrize('kind', ['mmpretrain.MobileNetV2', 'mmseg.MobileNetV2'])
def test_channels_of_the_last_layer_are_not_those_of_images(kind):
    pytest.importorskip(kind.partition('.')[0])
    with torch.device('meta'):
        backbone = MODELS.build(dict(type=kind))
    assert backbone.in_channels == 320
    model = model_of(backbone)
    check_preprocessor(model)
    check_image(model, 3, 'train_dataloader')


@pytest.mark.parametrize('channels', [1, 2, 3, 4, 12])
def test_channels_that_the_first_layer_reads(channels):
    model = model_of(stem(channels, channels), channels=5)
    assert input_channels(model) == channels
    with pytest.raises(ValueError, match='channels'):
        check_image(model, channels + 1, 'train_dataloader')
    if channels > 1:
        with pytest.raises(ValueError, match=f'backbone.in_channels is {channels}'):
            check_preprocessor(model)
    assert input_channels(model_of(stem(channels + 7, channels))) is None


def test_a_head_for_edges_has_classes_of_its_own():
    """As in the stock configs of STDC."""
    pytest.importorskip('mmseg')
    head = dict(type='mmseg.STDCHead', in_channels=4, channels=4, num_classes=2)
    edges = MODELS.build(dict(head, boundary_threshold=0.1))
    labels = MODELS.build({**head, 'type': 'mmseg.FCNHead', 'num_classes': 19})
    heads = nn.ModuleList([labels, edges])
    check_num_classes(model_of(stem(3, 3), auxiliary_head=heads), range(19), 'the data')
    with pytest.raises(ValueError, match=r'auxiliary_head\.0\.num_classes must be 18'):
        check_num_classes(nn.ModuleDict(dict(auxiliary_head=heads)), range(18), 'it')


def test_a_detector_of_proposals_has_one_class():
    """As in the stock configs of RPN, whose head is called `bbox_head`."""
    pytest.importorskip('mmdet')
    head = MODELS.build(dict(type='mmdet.RPNHead', in_channels=4, feat_channels=4))
    assert head.num_classes == 1
    check_num_classes(nn.ModuleDict(dict(bbox_head=head)), range(80), 'the data')
