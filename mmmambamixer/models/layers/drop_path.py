"""Stochastic depth."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop the residual branch of whole samples while training.

    The kept ones are scaled so that the expectation stays.

    Args:
        drop_prob: Probability of dropping, in [0, 1).

    Raises:
        ValueError: If `drop_prob` is outside [0, 1).

    Reference: Huang et al., *Deep Networks with Stochastic Depth*, arXiv:1603.09382.
    """

    def __init__(self, *, drop_prob: float) -> None:
        super().__init__()
        if not 0 <= drop_prob < 1:
            raise ValueError(f'drop_prob must be in [0, 1), got {drop_prob}')
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        keep = 1 - self.drop_prob
        mask = x.new_empty(x.shape[0], *(1,) * (x.dim() - 1)).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3f}'
