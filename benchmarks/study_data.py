"""The two data sets of the study: images of 32 pixels and how they are distorted."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

SIDE = 32
"""Pixels."""
LEVELS = 16
"""The darkest value of scikit-learn's digits."""
Distortion = Callable[[Tensor, torch.Generator], Tensor]


class DataSet(NamedTuple):
    """Images and what is done to them.

    Args:
        images: `(n, 3, 32, 32)`, each channel of mean 0 and deviation 1.
        labels: `(n,)`, from 0 to 9.
        for_training: Applied to each batch, new in each epoch.
        for_test: Applied once to the test images.
    """

    images: Tensor
    labels: Tensor
    for_training: Distortion
    for_test: Distortion


def digits() -> DataSet:
    """Return scikit-learn's 1,797 digits, to be turned, moved and covered by noise."""
    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32)[:, None] / LEVELS
    images = F.interpolate(images, size=SIDE, mode='bicubic').expand(-1, 3, -1, -1)
    return DataSet(normalised(images), torch.tensor(source.target), turn, turn)


def eurosat(folder: Path) -> DataSet:
    """Return the images of `train/CLASS` and `test/CLASS`, halved, to be mirrored.

    Raises:
        FileNotFoundError: If there are none.
    """
    paths = sorted(folder.glob('*/*/*.jpg'))
    if not paths:
        raise FileNotFoundError(
            f'{folder} has no train/CLASS/*.jpg; docs/eurosat.md tells what it holds'
        )
    names = sorted({path.parent.name for path in paths})
    images = [
        Image.open(path).resize((SIDE, SIDE), Image.Resampling.BOX) for path in paths
    ]
    images = torch.tensor(np.stack(images)).permute(0, 3, 1, 2) / 255
    labels = torch.tensor([names.index(path.parent.name) for path in paths])
    return DataSet(normalised(images), labels, mirror, lambda images, generator: images)


def normalised(images: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(images, dim=(0, 2, 3), keepdim=True)
    return (images - mean) / deviation


def turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn by up to 45 degrees, move by up to 4 pixels, add noise of deviation 1."""
    n = len(images)
    angle = math.pi / 4 * (2 * torch.rand(n, generator=generator) - 1)
    shift = 8 / SIDE * (2 * torch.rand(n, 2, generator=generator) - 1)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = angle.sin(), -angle.sin()
    matrix[:, :, 2] = shift
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode='border', align_corners=False)
    return images + torch.randn(images.shape, generator=generator)


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror at the middle column, at the middle row and at the diagonal, by chance."""
    for change in (lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.mT):
        chosen = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(chosen[:, None, None, None], change(images), images)
    return images
