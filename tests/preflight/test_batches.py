"""Batches of one image and norms that average over it; strides for each map."""

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch import nn
from torch.utils.data import DataLoader

from mmmambamixer.preflight.batches import check_batches, lone_image
from mmmambamixer.preflight.model import check_levels


def pyramid(norm: nn.Module, pool: int = 1) -> nn.Module:
    """Return what reads pools of a map, as the heads of PSPNet and UperNet do."""
    row = nn.Sequential(nn.AdaptiveAvgPool2d(pool), nn.Conv2d(4, 4, 1), norm)
    return nn.ModuleDict(dict(decode_head=nn.ModuleList([row])))


def loader(images: int, size: int, **options) -> DataLoader:
    return DataLoader(range(images), batch_size=size, **options)


LONE = [(5, 2), (9, 4), (3, 1), (1, 1), (7, 3), (33, 32)]
FINE = [(4, 2), (6, 4), (8, 3), (2, 3), (1, 4)]


@pytest.mark.parametrize(('images', 'size'), LONE)
def test_a_batch_of_one_image_is_told_where_a_norm_needs_two(images, size):
    model = pyramid(nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match=r'decode_head\.0\.2 is a batch norm') as told:
        check_batches(model, loader(images, size), {})
    assert ('batch_size is 1' if size == 1 else 'leave one over') in str(told.value)
    last = torch.rand(1, 4, 8, 8)
    with pytest.raises(ValueError, match='Expected more than 1 value per channel'):
        model['decode_head'][0](last)  # what it is about


@pytest.mark.parametrize(('images', 'size'), FINE)
def test_other_batches_pass(images, size):
    assert lone_image(loader(images, size), {}) == ''
    check_batches(pyramid(nn.BatchNorm2d(4)), loader(images, size), {})


def test_samplers_without_end_leave_none_over():
    """As of Cityscapes, 2975 images in batches of 2, for iterations."""
    data = loader(2975, 2, sampler=InfiniteSampler(range(2975)))
    check_batches(pyramid(nn.BatchNorm2d(4)), data, {})
    data = loader(5, 2, drop_last=True)
    check_batches(pyramid(nn.BatchNorm2d(4)), data, {})


NORMS = {
    'groups': pyramid(nn.GroupNorm(2, 4)),
    'frozen': pyramid(nn.BatchNorm2d(4).eval()),
    'larger maps': pyramid(nn.BatchNorm2d(4), pool=2),
    'over processes': pyramid(nn.SyncBatchNorm(4)),
    'no pool': nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize('kind', NORMS)
def test_other_norms_pass(kind):
    check_batches(NORMS[kind], loader(5, 2), {})


class Part(nn.Module):
    """With attributes of mmdet's necks, heads and generators of anchors."""

    def __init__(self, **attributes) -> None:
        super().__init__()
        vars(self).update(attributes)


@pytest.mark.parametrize('head', ['rpn_head', 'bbox_head'])
@pytest.mark.parametrize('strides', range(3, 8))
def test_a_stride_for_each_map(strides, head):
    model = Part()
    model.add_module(head, Part(prior_generator=Part(strides=[1] * strides)))
    necks = [Part(num_outs=5), nn.Sequential(Part(num_outs=5), Part())]
    for neck in necks:
        if strides == 5:
            check_levels(model, neck, 4)
            continue
        with pytest.raises(ValueError, match=f'{head} .* {strides} strides.* 5 maps'):
            check_levels(model, neck, 4)
    check_levels(model, Part(), 4)  # a neck that does not say
    if strides != 4:
        with pytest.raises(ValueError, match='the backbone gives 4 maps'):
            check_levels(model, None, 4)
