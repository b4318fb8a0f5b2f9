"""Learned averaging of earlier features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmmambamixer.ops import weighted_sum


class WeightedAverage(nn.Module):
    """Sum earlier maps of a stage with one free scalar each.

    The scalars are the paper's alpha, beta (input of a token mixer) or theta, gamma
    (input of a channel mixer), in the order of the maps. They start as 1 on the newest
    map and 0 on all others: the plain residual network.

    Args:
        inputs: Number of maps.

    Reference: MambaMixer, arXiv:2403.19888, eq. (19), (20); DenseFormer,
    arXiv:2402.02622.
    Differs from the paper: it gives no initial values; the maps include the input of
    the stage, and each carries its own residual.
    """

    def __init__(self, *, inputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(inputs))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set 1 on the newest map, 0 on all others."""
        self.weights.zero_()
        self.weights[-1] = 1

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return weighted_sum(maps, self.weights)
