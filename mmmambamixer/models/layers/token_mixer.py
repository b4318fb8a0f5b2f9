"""The selective token mixer.

Axis letters: b batch, h w map, c channels, e width inside.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mmmambamixer.ops import CROSS

from .s6 import S6
from .scan_norm import ScanNorm


class SelectiveTokenMixer(nn.Module):
    """Mix the tokens of a map with four selective scans over its rows and columns.

    Scanned axis: tokens, along the cross-scan. Independent axis: channels.
    `(b, h, w, c)` -> `(b, h, w, c)`.

    Args:
        d_model: Channels, c.
        expand: Width inside over channels, e / c.
        d_state: States of the scan, n.

    Reference: MambaMixer, arXiv:2403.19888, eq. (6)-(11), Fig. 8; cross-scan of VMamba,
    arXiv:2401.10166.
    Differs from the paper: a LayerNorm before the gate, as in VMamba, and VMamba's rank
    of delta, `ceil(c / 16)`.
    """

    def __init__(self, *, d_model: int, expand: int = 2, d_state: int = 16) -> None:
        super().__init__()
        e = expand * d_model
        self.in_proj = nn.Linear(d_model, e, bias=False)
        self.gate_proj = nn.Linear(d_model, e, bias=False)
        self.conv = nn.Conv2d(e, e, 3, padding=1, groups=e)
        self.s6 = S6(
            d_inner=e, d_state=d_state, dt_rank=math.ceil(d_model / 16), routes=CROSS
        )
        self.norm = ScanNorm(e)
        self.out_proj = nn.Linear(e, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        v, z = self.in_proj(x), self.gate_proj(x)  # (b, h, w, e)
        v = F.silu(self.conv(v.permute(0, 3, 1, 2)))  # (b, e, h, w), channels last
        v = v.permute(0, 2, 3, 1).flatten(1, 2)  # (b, h w, e)
        y = self.s6(v, height=h, width=w)
        y = self.norm(y, z.flatten(1, 2))  # (b, h w, e)
        return self.out_proj(y).unflatten(1, (h, w))
