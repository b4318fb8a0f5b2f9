"""Stochastic depth."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop the residual branch of whole samples while training.

    The kept ones are scaled so that the expectation stays.

    Args:
        rate: Probability of dropping, in [0, 1).

    Raises:
        ValueError: If `rate` is outside [0, 1).

    Reference: Huang et al., *Deep Networks with Stochastic Depth*, arXiv:1603.09382.
    """

    def __init__(self, *, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f'the drop path rate must be in [0, 1), got {rate}')
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = x.new_empty(x.shape[0], *(1,) * (x.dim() - 1)).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'
