"""The selective mixer of sequences: over time, or over variates.

Axis letters: b batch, l steps of the sequence, c channels, e width inside, g scans.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmambamixer.ops import Route, scan_conv

from ..s6 import S6

SEQUENCE_ROUTES = {1: (Route.ROWS,), 2: (Route.ROWS, Route.ROWS_BACKWARD)}
"""Routes for a number of scans: forward, or forward and backward."""


class SelectiveSequenceMixer(nn.Module):
    """Mix the steps of a sequence with selective scans, in one direction or in both.

    The two mixers of TSM2 are this layer: along time with one scan, along the variates
    with two. Scanned axis: steps. Independent axis: the batch.
    `(b, l, c)` -> `(b, l, c)`.

    Args:
        d_model: Channels, c.
        scans: 1 (forward) or 2 (forward and backward).
        expand: Width inside over channels, e / c.
        d_state: States of the scan, n.
        d_conv: Taps of the causal convolution along the sequence.

    Raises:
        ValueError: If `scans` is neither 1 nor 2.

    Reference: MambaMixer, arXiv:2403.19888, eq. (6)-(11) and, with two scans,
    (12)-(18).
    Differs from the paper: which prints "non-linearity" for its product with the gate,
    and projects delta, B and C from the block's input; here, as in Mamba
    (arXiv:2312.00752), the gate passes a SiLU and they come from what is scanned.
    """

    def __init__(
        self,
        *,
        d_model: int,
        scans: int = 1,
        expand: int = 2,
        d_state: int = 16,
        d_conv: int = 4,
    ) -> None:
        super().__init__()
        if scans not in SEQUENCE_ROUTES:
            raise ValueError(f'scans of a sequence must be 1 or 2, got {scans!r}')
        e, routes = expand * d_model, SEQUENCE_ROUTES[scans]
        self.in_proj = nn.Linear(d_model, e, bias=False)
        self.gate_proj = nn.Linear(d_model, e, bias=False)
        self.conv = FeatureScanConv(features=e, routes=routes, d_conv=d_conv)
        self.s6 = S6(
            d_inner=e, d_state=d_state, dt_rank=math.ceil(d_model / 16), routes=routes
        )
        self.out_proj = nn.Linear(e, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        v, z = self.in_proj(x), self.gate_proj(x)  # (b, l, e)
        v = self.conv(v)  # (b, g, l, e)
        y = self.s6(v, height=1, width=x.shape[1])  # (b, l, e)
        return self.out_proj(y.to(z.dtype) * F.silu(z))


class FeatureScanConv(nn.Module):
    """Causal convolution along a sequence, one filter a scan and feature, then SiLU.

    Causal in the order of the scan: backward scans see later steps.
    `(b, l, e)` -> `(b, g, l, e)`.

    Args:
        features: Features, e.
        routes: Routes of the scans.
        d_conv: Taps.

    Reference: Mamba, arXiv:2312.00752, `conv1d`.
    """

    def __init__(
        self, *, features: int, routes: tuple[Route, ...], d_conv: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(routes), d_conv, features))
        self.bias = nn.Parameter(torch.empty(len(routes), features))
        self.routes = routes
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weight and bias as `nn.Conv1d` does."""
        bound = self.weight.shape[1] ** -0.5
        self.weight.uniform_(-bound, bound)
        self.bias.uniform_(-bound, bound)

    def forward(self, v: Tensor) -> Tensor:
        return scan_conv(v, self.weight, self.bias, routes=self.routes, silu=True)
