"""The selective state space model, S6, along several routes at once.

Axis letters: b batch, g scans, d features, n state, l positions, r rank of delta,
p side of the token grid.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmambamixer.ops import Route, cross_selective_scan

DT_MIN, DT_MAX = 1e-3, 1e-1
"""Range of the step sizes at initialisation."""


class S6(nn.Module):
    """Selective SSM: project the input to (delta, B, C), then scan along each route.

    Each of the g routes has parameters of its own. `(b, l, d)`, read by all scans, or
    `(b, g, l, d)` -> `(b, l, d)`, the sum of the scans.

    Args:
        d_inner: Features, d.
        d_state: States for each feature, n.
        dt_rank: Rank of delta, r; `ceil(d_inner / 16)` if None.
        routes: Order of visit of each scan.

    Reference: Mamba, arXiv:2312.00752, Alg. 2; MambaMixer, arXiv:2403.19888, eq. (5).
    """

    def __init__(
        self,
        *,
        d_inner: int,
        d_state: int = 16,
        dt_rank: int | None = None,
        routes: Sequence[Route],
    ) -> None:
        super().__init__()
        r = math.ceil(d_inner / 16) if dt_rank is None else dt_rank
        g = len(routes)
        self.routes = tuple(routes)
        self.split_sizes = (r, d_state, d_state)
        self.x_proj = nn.Parameter(torch.empty(g, r + 2 * d_state, d_inner))
        self.dt_weight = nn.Parameter(torch.empty(g, d_inner, r))
        self.dt_bias = nn.Parameter(torch.empty(g, d_inner))
        self.A_log = nn.Parameter(torch.empty(g, d_inner, d_state))
        self.D = nn.Parameter(torch.empty(g, d_inner))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters as Mamba does: A is S4D-real, delta log-uniform."""
        _, d, n = self.A_log.shape
        self.x_proj.uniform_(-(d**-0.5), d**-0.5)
        r = self.dt_weight.shape[-1]
        self.dt_weight.uniform_(-(r**-0.5), r**-0.5)
        delta = self.dt_bias.uniform_(math.log(DT_MIN), math.log(DT_MAX)).exp()
        self.dt_bias.copy_(delta + torch.log(-torch.expm1(-delta)))  # softplus^-1
        self.A_log.copy_(torch.arange(1, n + 1).log())
        self.D.fill_(1)

    def select(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return low-rank delta `(b, g, l, r)`, B and C `(b, g, l, n)` of the input."""
        if u.dim() == 3:  # one GEMM for all scans, in the order of the map
            x = F.linear(u, self.x_proj.flatten(0, 1))  # (b, l, g (r + 2n))
            x = x.unflatten(-1, (len(self.routes), -1)).transpose(1, 2)
        else:
            x = torch.einsum('bgld,gmd->bglm', u, self.x_proj)
        return x.split(self.split_sizes, dim=-1)

    def forward(self, u: Tensor, *, height: int, width: int) -> Tensor:
        dt, B, C = self.select(u)
        return cross_selective_scan(
            u,
            dt,
            self.dt_weight,
            state_matrix(self.A_log),
            B,
            C,
            self.D,
            self.dt_bias,
            routes=self.routes,
            height=height,
            width=width,
        )


class GridS6(S6):
    """S6 whose features are the tokens of a map of any size, scanned over channels.

    Everything that belongs to a token lives on a p x p grid: delta, B and C come from
    the map pooled to the grid; the parameters of the tokens are resized from the grid
    to the map. For a p x p map both are the identity.

    Args:
        grid_size: Side of the token grid, p.
        d_state: States for each token, n.
        dt_rank: Rank of delta, r; `ceil(p * p / 16)` if None.
        routes: Order of visit of each scan along the channels.

    Reference: MambaMixer, arXiv:2403.19888, section 3.2.
    Differs from the paper: there the linear maps have one column for each token of one
    fixed image size; here the grid makes them fit every size, and they are the paper's
    on a p x p map.
    """

    def __init__(
        self,
        *,
        grid_size: int = 7,
        d_state: int = 16,
        dt_rank: int | None = None,
        routes: Sequence[Route],
    ) -> None:
        super().__init__(
            d_inner=grid_size**2, d_state=d_state, dt_rank=dt_rank, routes=routes
        )
        self.grid_size = grid_size

    def forward(self, u: Tensor, *, height: int, width: int) -> Tensor:
        """Scan `(b, g, e, l)`, l = height * width tokens, along e -> `(b, e, l)`."""
        p = self.grid_size
        dt, B, C = self.select(pool_tokens(u, height, width, p))
        grid = torch.cat(
            [self.dt_weight, self.A_log, self.D[..., None], self.dt_bias[..., None]], -1
        )
        sizes = (self.dt_weight.shape[-1], self.A_log.shape[-1], 1, 1)
        tokens = resize_tokens(grid, p, height, width)  # (g, p p, m) -> (g, l, m)
        dt_weight, A_log, D, dt_bias = tokens.split(sizes, dim=-1)
        return cross_selective_scan(
            u,
            dt,
            dt_weight,
            state_matrix(A_log),
            B,
            C,
            D.squeeze(-1),
            dt_bias.squeeze(-1),
            routes=self.routes,
            height=1,
            width=u.shape[2],
        )


def state_matrix(A_log: Tensor) -> Tensor:
    """Return A = -exp(A_log) in at least fp32."""
    return -torch.exp(A_log.to(_at_least_fp32(A_log)))


def pool_tokens(x: Tensor, height: int, width: int, p: int) -> Tensor:
    """Average a map over a p x p grid: `(..., height * width)` -> `(..., p p)`.

    Adaptive average pooling, written as two products because their backward is
    deterministic on every device.
    """
    rows, columns = (pooling_weights(size, p, like=x) for size in (height, width))
    x = x.unflatten(-1, (height, width)) @ columns  # (..., h, p)
    return (rows.T @ x).flatten(-2)


def pooling_weights(size: int, p: int, *, like: Tensor) -> Tensor:
    """Return the weights of `size` places in p adaptive averages, `(size, p)`."""
    place = torch.arange(size, device=like.device)[:, None]
    index = torch.arange(p, device=like.device)
    start, end = index * size // p, ((index + 1) * size + p - 1) // p
    inside = (start <= place) & (place < end)
    return (inside.to(_at_least_fp32(like)) / (end - start)).to(like.dtype)


def resize_tokens(x: Tensor, p: int, height: int, width: int) -> Tensor:
    """Resize a p x p grid bilinearly: `(g, p p, m)` -> `(g, height * width, m)`.

    Written as two products for the reason given in `pool_tokens`; never in 16 bit.
    """
    rows, columns = (resizing_weights(p, size, like=x) for size in (height, width))
    with torch.autocast(x.device.type, enabled=False):
        x = x.unflatten(1, (p, p))
        return torch.einsum('gijm,ih,jw->ghwm', x, rows, columns).flatten(1, 2)


def resizing_weights(p: int, size: int, *, like: Tensor) -> Tensor:
    """Return the weights of p places in `size` linear interpolations, `(p, size)`.

    Corners are not aligned: the middles of the first and last of the p places lie
    inside, and what is beyond them is constant.
    """
    work = dict(dtype=_at_least_fp32(like), device=like.device)
    at = ((torch.arange(size, **work) + 0.5) * (p / size) - 0.5).clamp(0, p - 1)
    place = torch.arange(p, **work)[:, None]
    return (1 - (at - place).abs()).clamp(min=0).to(like.dtype)


def _at_least_fp32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
