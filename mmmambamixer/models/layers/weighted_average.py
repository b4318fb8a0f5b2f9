"""Learned averaging of earlier features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmmambamixer.ops import weighted_sum


class WeightedAverage(nn.Module):
    """Sum earlier maps with one free scalar each.

    The scalars are the paper's alpha, beta (input of a token mixer) or theta, gamma
    (input of a channel mixer), in the order of the maps.

    Args:
        inputs: Number of maps.
        init_values: Of the scalars. If None 1 on the newest map and 0 on all
            others: the plain residual network, where each map carries its residual.

    Reference: MambaMixer, arXiv:2403.19888, eq. (19), (20); DenseFormer,
    arXiv:2402.02622.
    Differs from the paper: it gives no initial values.
    """

    def __init__(
        self, *, inputs: int, init_values: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if init_values is None:
            init_values = [0.0] * (inputs - 1) + [1.0]
        self.init_values = list(init_values)
        if len(self.init_values) != inputs:
            raise ValueError(
                f'init_values must have one number for each of the {inputs} maps, '
                f'got {init_values}'
            )
        self.weights = nn.Parameter(torch.empty(inputs))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the scalars to their first values."""
        self.weights.copy_(torch.tensor(self.init_values))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return weighted_sum(maps, self.weights)
