"""The blocks of TSM2: mixers over time and over variates, and what they read.

Axis letters: b batch, m variates, p patches (time), c channels.
"""

from torch import Tensor, nn

from mmmambamixer.arguments import check_choice

from ..channel_mixer import MLP
from ..weighted_average import WeightedAverage
from .sequence_mixer import SelectiveSequenceMixer
from .window_norm import WindowNorm

TIME_MIXERS = ('selective', 'linear', 'none')
VARIATE_MIXERS = ('selective', 'mlp', 'none')
NORMS = {'2d': WindowNorm, 'token': nn.LayerNorm}


class TimeMixer(nn.Module):
    """Run a mixer of sequences along the patches of each variate.

    `(b, m, p, c)` -> the same.

    Args:
        mixer: `(b, p, c)` -> the same.
    """

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        return self.mixer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class VariateMixer(TimeMixer):
    """Run a mixer of sequences along the variates of each patch: both change places."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Transposed(nn.Module):
    """Run a module along the steps of a sequence, each channel by itself.

    `(b, l, c)` -> the same.

    Args:
        module: `(..., l)` -> the same.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.transpose(1, 2)).transpose(1, 2)


class SeriesMixers(nn.Module):
    """A chain of blocks, each a time mixer and a variate mixer, with averaged inputs.

    Block l = 1..k reads and writes maps `(b, m, p, c)`; the mixers' outputs carry no
    residual, the averaging is the only way past a mixer:

        x_token   = sum_{i<l}  alpha_{l,i} y_token_i + sum_{i<l} beta_{l,i}  y_channel_i
        x_channel = sum_{i<=l} theta_{l,i} y_token_i + sum_{i<l} gamma_{l,i} y_channel_i

    with y_token_0 = y_channel_0 = the input, and the result read out by one more such
    sum. The scalars start as the plain chain of residual units: 1, but 0 for the second
    copy of the input.

    Args:
        d_model: Channels, c.
        depth: Blocks, k.
        patches: Tokens of a variate, p; a linear time mixer is made for them.
        variates: Series side by side, m; an MLP over variates is made for them.
        expand: Width inside the mixers over c (inside the MLP over m).
        d_state: States of the scans, n.
        time_mixer: 'selective', 'linear' (a linear map over the patches) or 'none'.
        variate_mixer: 'selective', 'mlp' (over the variates) or 'none'.
        time_scans: 1 (forward) or 2 (forward and backward).
        variate_scans: 2 or 1.
        averaging: Learn the scalars; otherwise they keep their first values.
        norm: Before each mixer: '2d', over variates and time of a window, or 'token'.

    Raises:
        ValueError: If an argument is none of its choices, or no mixer is left.

    Reference: MambaMixer, arXiv:2403.19888, section 3.2, eq. (19), (20).
    Differs from the paper: the read-out is not printed there (its figures 1 and 7 draw
    one); nor are the first values.
    """

    def __init__(
        self,
        *,
        d_model: int,
        depth: int,
        patches: int,
        variates: int,
        expand: int = 2,
        d_state: int = 16,
        time_mixer: str = 'selective',
        variate_mixer: str = 'selective',
        time_scans: int = 1,
        variate_scans: int = 2,
        averaging: bool = True,
        norm: str = '2d',
    ) -> None:
        super().__init__()
        check_choice('time_mixer', time_mixer, TIME_MIXERS)
        check_choice('variate_mixer', variate_mixer, VARIATE_MIXERS)
        check_choice('norm', norm, NORMS)
        if time_mixer == variate_mixer == 'none':
            raise ValueError("time_mixer and variate_mixer cannot both be 'none'")
        sizes = dict(d_model=d_model, expand=expand, d_state=d_state)
        make_time = {
            'selective': lambda: SelectiveSequenceMixer(scans=time_scans, **sizes),
            'linear': lambda: Transposed(nn.Linear(patches, patches)),
        }
        make_variate = {
            'selective': lambda: SelectiveSequenceMixer(scans=variate_scans, **sizes),
            'mlp': lambda: Transposed(MLP(d_model=variates, expand=expand)),
        }
        self.blocks = nn.ModuleList()
        tokens, channels = 1, 1  # maps so far, the input among each
        for _ in range(depth):
            block = nn.ModuleDict()
            if time_mixer != 'none':
                block['time_average'] = first_average(tokens, channels)
                block['time_norm'] = NORMS[norm](d_model)
                block['time'] = TimeMixer(make_time[time_mixer]())
                tokens += 1
            if variate_mixer != 'none':
                block['variate_average'] = first_average(tokens, channels)
                block['variate_norm'] = NORMS[norm](d_model)
                block['variate'] = VariateMixer(make_variate[variate_mixer]())
                channels += 1
            self.blocks.append(block)
        self.average = first_average(tokens, channels)
        for module in self.modules():
            if isinstance(module, WeightedAverage):
                module.requires_grad_(averaging)

    def forward(self, x: Tensor) -> Tensor:
        tokens, channels = [x], [x]
        for block in self.blocks:
            if 'time' in block:
                x = block['time_norm'](block['time_average'](tokens + channels))
                tokens.append(block['time'](x))
            if 'variate' in block:
                x = block['variate_norm'](block['variate_average'](tokens + channels))
                channels.append(block['variate'](x))
        return self.average(tokens + channels)


def first_average(tokens: int, channels: int) -> WeightedAverage:
    """Return the average that makes the blocks a chain of residual units.

    Args:
        tokens: Outputs of time mixers, the input of the blocks before them.
        channels: Outputs of variate mixers, the input before them once more.
    """
    init_values = [1.0] * tokens + [0.0] + [1.0] * (channels - 1)
    return WeightedAverage(inputs=tokens + channels, init_values=init_values)
