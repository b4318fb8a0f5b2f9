"""The selective channel mixer, and the MLP that replaces it in an ablation.

Axis letters: b batch, h w map, l = h w tokens, c channels, e width inside, g scans.
"""

import torch
from torch import Tensor, nn

from mmmambamixer.ops import CROSS, Route, scan_conv

from .s6 import GridS6
from .scan_norm import ScanNorm

CHANNEL_ROUTES = {4: CROSS, 2: (Route.ROWS, Route.ROWS_BACKWARD), 1: (Route.ROWS,)}
"""Routes for a number of scans; on a sequence, a map of one row, columns are rows."""


class SelectiveChannelMixer(nn.Module):
    """Mix the channels of each token with selective scans over the channel axis.

    Scanned axis: channels, forward and backward. Independent axis: tokens.
    `(b, h, w, c)` -> `(b, h, w, c)`.

    Args:
        d_model: Channels, c.
        expand: Width inside over channels, e / c.
        scans: 4 (twice forward, twice backward), 2 (bidirectional) or 1 (forward).
        d_state: States of the scan, n.
        d_conv: Taps of the convolution along the channels.
        grid_size: Side p of the grid on which the parameters of the tokens live.

    Raises:
        ValueError: If `scans` is not 4, 2 or 1.

    Reference: MambaMixer, arXiv:2403.19888, eq. (12)-(18), section 4.1, Fig. 8.
    Differs from the paper: the parameters of the tokens live on a grid (see `GridS6`);
    the convolution has Mamba's 4 taps, the paper names no number; a LayerNorm before
    the gate as in the token mixer.
    """

    def __init__(
        self,
        *,
        d_model: int,
        expand: int = 2,
        scans: int = 4,
        d_state: int = 16,
        d_conv: int = 4,
        grid_size: int = 7,
    ) -> None:
        super().__init__()
        if scans not in CHANNEL_ROUTES:
            raise ValueError(f'channel_scans must be 4, 2 or 1, got {scans!r}')
        e, routes = expand * d_model, CHANNEL_ROUTES[scans]
        self.in_proj = nn.Linear(d_model, e, bias=False)
        self.gate_proj = nn.Linear(d_model, e, bias=False)
        self.conv = ScanConv(routes=routes, d_conv=d_conv)
        self.s6 = GridS6(grid_size=grid_size, d_state=d_state, routes=routes)
        self.norm = ScanNorm(e)
        self.out_proj = nn.Linear(e, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        v, z = self.in_proj(x), self.gate_proj(x)  # (b, h, w, e)
        v = v.flatten(1, 2).transpose(1, 2)  # (b, e, l)
        v = self.conv(v)  # (b, g, e, l)
        y = self.s6(v, height=h, width=w)  # (b, e, l)
        y = self.norm(y.transpose(1, 2), z.flatten(1, 2))  # (b, l, e)
        return self.out_proj(y).unflatten(1, (h, w))


class ScanConv(nn.Module):
    """Causal convolution along the channels, one filter for each scan, then SiLU.

    Causal in the order of the scan: backward scans see later channels.
    `(b, e, l)` -> `(b, g, e, l)`.

    Args:
        routes: Routes of the scans.
        d_conv: Taps.
    """

    def __init__(self, *, routes: tuple[Route, ...], d_conv: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(routes), d_conv))
        self.bias = nn.Parameter(torch.empty(len(routes)))
        self.routes = routes
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weight and bias as `nn.Conv1d` does."""
        bound = self.weight.shape[-1] ** -0.5
        self.weight.uniform_(-bound, bound)
        self.bias.uniform_(-bound, bound)

    def forward(self, v: Tensor) -> Tensor:
        return scan_conv(v, self.weight, self.bias, routes=self.routes, silu=True)


class MLP(nn.Sequential):
    """Mix channels with two linear maps and a GELU, token by token: ViM2-MLP.

    Args:
        d_model: Channels, c.
        expand: Width inside over channels, e / c.
    """

    def __init__(self, *, d_model: int, expand: int = 2) -> None:
        super().__init__(
            nn.Linear(d_model, expand * d_model),
            nn.GELU(),
            nn.Linear(expand * d_model, d_model),
        )
