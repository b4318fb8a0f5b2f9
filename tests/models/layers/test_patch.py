"""Patches and patch merging."""

import pytest
import torch
from torch import nn

from mmmambamixer.models.layers import ImageStem, PatchMerging


@pytest.mark.parametrize('size', [(1, 1), (4, 8), (37, 53)])
def test_the_stem_gives_a_patch_for_every_started_four_pixels(size):
    stem = ImageStem(in_channels=2, d_model=6)
    rows, columns = (-(-s // 4) for s in size)
    assert stem(torch.randn(3, 2, *size)).shape == (3, rows, columns, 6)


def test_the_stem_pads_with_zeros_at_the_end():
    stem, image = ImageStem(in_channels=1, d_model=6), torch.randn(1, 1, 5, 6)
    padded = torch.zeros(1, 1, 8, 8)
    padded[:, :, :5, :6] = image
    assert torch.equal(stem(image), stem(padded))


def test_neighbours_are_concatenated_down_then_right():
    merging = PatchMerging(d_model=1, d_out=4)
    merging.norm = nn.Identity()
    with torch.no_grad():
        merging.reduction.weight.copy_(torch.eye(4))
    image = torch.arange(16.0).view(1, 4, 4, 1)
    merged = merging(image)
    assert merged[0, 0, 0].tolist() == [0, 4, 1, 5]
    assert merged[0, 1, 1].tolist() == [10, 14, 11, 15]


@pytest.mark.parametrize('size', [(1, 1), (3, 4), (5, 7)])
def test_odd_maps_are_padded(size):
    merging = PatchMerging(d_model=3, d_out=5)
    rows, columns = (-(-s // 2) for s in size)
    assert merging(torch.randn(2, *size, 3)).shape == (2, rows, columns, 5)
