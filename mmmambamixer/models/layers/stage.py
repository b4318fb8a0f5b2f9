"""A stage: residual mixers on maps of one size, each reading earlier outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmmambamixer.arguments import is_whole

from .drop_path import DropPath
from .weighted_average import WeightedAverage


class MixerUnit(nn.Module):
    """Residual unit around a mixer: `y = x + DropPath(Mixer(LayerNorm(x)))`.

    `(b, h, w, c)` -> `(b, h, w, c)`.

    Args:
        mixer: Module from maps to maps.
        d_model: Channels, c.
        drop_prob: Probability of dropping the branch for a sample.

    Differs from the paper: which draws the residual outside; here the output of a mixer
    carries its residual, as in DenseFormer, so that one-hot averaging is VMamba.
    """

    def __init__(
        self, *, mixer: nn.Module, d_model: int, drop_prob: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.mixer = mixer
        self.drop_path = DropPath(drop_prob=drop_prob)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mixer(self.norm(x)))


class Stage(nn.Module):
    """Run mixers one after the other, each on a learned average of what came before.

    `(b, h, w, c)` -> what `downsample` makes of it -> the same shape.

    Args:
        mixers: Residual units in the order of execution.
        downsample: From the previous stage to this one, or None.
        averaging: Feed each mixer the weighted average of the stage's input and of all
            earlier outputs; otherwise the newest output.
        max_connections: At most so many of the newest maps are averaged; None is all.
        with_cp: Recompute each mixer in the backward instead of keeping its maps.

    Raises:
        ValueError: If `max_connections` is no integer from 1, or without averaging.

    Reference: MambaMixer, arXiv:2403.19888, eq. (19), (20).
    """

    def __init__(
        self,
        *,
        mixers: Sequence[nn.Module],
        downsample: nn.Module | None = None,
        averaging: bool = True,
        max_connections: int | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        if max_connections is not None and not (
            is_whole(max_connections) and averaging
        ):
            raise ValueError(
                'max_connections must be an integer from 1 and needs averaging=True, '
                f'got max_connections={max_connections!r} with averaging={averaging}'
            )
        self.downsample = nn.Identity() if downsample is None else downsample
        self.mixers = nn.ModuleList(mixers)
        self.averages = None
        if averaging:
            window = max_connections or len(mixers)
            self.averages = nn.ModuleList(
                WeightedAverage(inputs=min(j + 1, window)) for j in range(len(mixers))
            )
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.downsample(x)]
        for j, mixer in enumerate(self.mixers):
            if self.averages is not None:
                average = self.averages[j]
                x = average(maps[-len(average.weights) :])
            else:
                x = maps.pop()
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(mixer, x, use_reentrant=False)
            else:
                x = mixer(x)
            maps.append(x)
        return maps[-1]
