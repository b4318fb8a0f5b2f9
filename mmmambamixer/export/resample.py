"""Resizing of pictures as two products, as exact in a file as in torch.

onnxruntime's Resize rounds the place of a pixel to 1e-5 of one, which contrasts of 255
show; and sizes may stay open here.
"""

import torch
from torch import Tensor


def resample(x: Tensor, size: tuple[int, int], *, mode: str, antialias: bool) -> Tensor:
    """Return what `F.interpolate` does, corners not aligned: `(..., h, w)` -> `size`.

    Args:
        x: Maps.
        size: Height and width.
        mode: 'bilinear' or 'bicubic'.
        antialias: Whether the filter grows as the maps shrink.
    """
    height, width = size
    x = along_rows(x, width, mode, antialias)
    return along_rows(x.mT, height, mode, antialias).mT


def along_rows(x: Tensor, size: int, mode: str, antialias: bool) -> Tensor:
    """`(..., l)` -> `(..., size)`."""
    l = x.shape[-1]
    middles = (torch.arange(size, device=x.device) + 0.5) * (l / size) - 0.5
    reach = 0 if antialias else 2  # beyond an edge lies the pixel of the edge
    place = torch.arange(-reach, l + reach, device=x.device)
    distance = (place[:, None] - middles).abs()
    if antialias:
        distance = distance / torch.full((1,), l / size).to(x).clamp(min=1)
    weights = bicubic(distance, antialias) if mode == 'bicubic' else 1 - distance
    weights = weights.clamp(min=0) if mode == 'bilinear' else weights
    if antialias:  # what lies beyond an edge has no part
        weights = weights / weights.sum(0)
    return x[..., place.clamp(0, l - 1)] @ weights.to(x)


def bicubic(distance: Tensor, antialias: bool) -> Tensor:
    """Return the weights of Keys' kernel: a = -0.5, as in Pillow, or OpenCV's -0.75.

    Reference: Keys, "Cubic convolution interpolation for digital image processing",
    1981, eq. (15) is a = -0.5.
    """
    a, d = (-0.5 if antialias else -0.75), distance
    near = ((a + 2) * d - (a + 3)) * d**2 + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
