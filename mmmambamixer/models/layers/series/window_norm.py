"""Normalisation of a window of series as a whole."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowNorm(nn.Module):
    """Normalise the tokens of a window over variates and time together.

    Mean and variance are those of one window, over variates, patches and channels;
    gain and bias are per channel. `(b, m, p, c)` -> the same.

    Args:
        d_model: Channels, c.

    Reference: MambaMixer, arXiv:2403.19888, section 5.1, "2D normalization on both time
    and feature dimensions".
    Differs from the paper: which does not define it.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:]) * self.weight + self.bias
