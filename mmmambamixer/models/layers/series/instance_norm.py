"""Normalisation of each window and variate of a series, and its inverse."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

CENTRES = ('mean', 'last')
EPS = 1e-5
"""Added to the variance: a constant look-back stays finite."""
MIN_GAIN = 1e-2
"""The inverse divides by a gain of at least this magnitude."""


class Statistics(NamedTuple):
    """Centre and deviation of each window and variate, `(b, 1, m)`."""

    centre: Tensor
    scale: Tensor


class InstanceNorm(nn.Module):
    """Take the level and the scale of a look-back out, and put them back later.

    `forward` and `inverse` are a pair: `inverse(forward(x)[0], statistics)` is x.

    Args:
        variates: Series side by side, m.
        centre: What is subtracted: the 'mean' of the look-back or its 'last' value.
        affine: Learn a gain and a shift for each variate.

    Raises:
        ValueError: If there is no such centre.

    Reference: reversible instance normalisation, Kim et al., ICLR 2022.
    Differs from the paper: MambaMixer does not mention it; the forecasters that it is
    compared with have it.
    """

    def __init__(
        self, *, variates: int, centre: str = 'mean', affine: bool = True
    ) -> None:
        super().__init__()
        if centre not in CENTRES:
            raise ValueError(f'centre must be one of {CENTRES}, got {centre!r}')
        self.centre = centre
        self.gain = nn.Parameter(torch.ones(variates)) if affine else None
        self.shift = nn.Parameter(torch.zeros(variates)) if affine else None

    def forward(self, x: Tensor) -> tuple[Tensor, Statistics]:
        """Normalise `(b, t, m)`; the deviation is the biased one."""
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        centre = mean if self.centre == 'mean' else x[:, -1:]
        statistics = Statistics(centre, (variance + EPS).sqrt())
        x = (x - statistics.centre) / statistics.scale
        if self.gain is not None:
            x = x * self.gain + self.shift
        return x, statistics

    def inverse(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Bring `(b, h, m)`, or `(q, b, h, m)`, back to the level of the look-back."""
        if self.gain is not None:
            sign = torch.where(self.gain < 0, -1.0, 1.0)
            x = (x - self.shift) / (sign * self.gain.abs().clamp_min(MIN_GAIN))
        return x * statistics.scale + statistics.centre
