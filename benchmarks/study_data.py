"""The data sets of the study: images of 32 pixels and how they are distorted."""

import math
from collections.abc import Callable
from functools import partial
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
SHIFTS = (2, 4)
"""The furthest that spectrograms are moved in pitch and in time, in pixels."""
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
    images, labels = read(folder, '*/*/*.jpg', 'docs/eurosat.md')
    return DataSet(images, labels, mirror, unchanged)


def spoken_digits(folder: Path) -> DataSet:
    """Return the spectrograms of `images/DIGIT`, halved in time, to be shifted.

    Raises:
        FileNotFoundError: If there are none.
    """
    images, labels = read(folder, 'images/*/*.png', 'docs/spoken_digits.md')
    silent = partial(shift, silence=images.min().item())
    return DataSet(images, labels, silent, unchanged)


def read(folder: Path, pattern: str, page: str) -> tuple[Tensor, Tensor]:
    """Return normalised images and their labels, by the names of their folders."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(
            f'{folder} has no images {pattern}; {page} tells what it holds'
        )
    names = sorted({path.parent.name for path in paths})
    size = (SIDE, SIDE)
    images = [
        Image.open(path).convert('RGB').resize(size, Image.Resampling.BOX)
        for path in paths
    ]
    images = torch.tensor(np.stack(images)).permute(0, 3, 1, 2) / 255
    labels = torch.tensor([names.index(path.parent.name) for path in paths])
    return normalised(images), labels


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


def shift(images: Tensor, generator: torch.Generator, *, silence: float) -> Tensor:
    """Move by whole pixels, by up to 2 in pitch and 4 in time; `silence` moves in."""
    pitch, time = SHIFTS
    padded = F.pad(images, (time, time, pitch, pitch), value=silence)
    places = 2 * torch.tensor(SHIFTS) + 1
    chance = torch.rand(len(images), 2, generator=generator)
    starts = (chance * places).long().tolist()
    moved = [
        image[:, y : y + SIDE, x : x + SIDE]
        for image, (y, x) in zip(padded, starts, strict=True)
    ]
    return torch.stack(moved)


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    return images
