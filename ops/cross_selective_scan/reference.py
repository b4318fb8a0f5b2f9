"""Cross selective scan in plain PyTorch: cross-scan, selective scan, cross-merge.

Axis letters: b batch, g scan, d channel, n state, l position (height * width), r rank.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..dtypes import work_dtype
from ..route import Route
from ..selective_scan.reference import selective_scan_reference


def visit_order(route: Route, height: int, width: int) -> Tensor:
    """Return the positions of a map in the order of visit, `(l,)`, int64."""
    positions = torch.arange(height * width).reshape(height, width)
    if route in (Route.COLUMNS, Route.COLUMNS_BACKWARD):
        positions = positions.T
    order = positions.flatten()
    return order.flip(0) if route >= Route.ROWS_BACKWARD else order


def cross_scan(x: Tensor, routes: Sequence[Route], height: int, width: int) -> Tensor:
    """Read a map along each route: `(b, l, d)` or `(b, g, l, d)` -> `(b, g, l, d)`.

    The exact transpose of `cross_merge` for the first shape.
    """
    if x.dim() == 3:
        x = x[:, None].expand(-1, len(routes), -1, -1)
    orders = [visit_order(route, height, width).to(x.device) for route in routes]
    return torch.stack([x[:, k, order] for k, order in enumerate(orders)], dim=1)


def cross_merge(y: Tensor, routes: Sequence[Route], height: int, width: int) -> Tensor:
    """Put each sequence back in place and add them: `(b, g, l, d)` -> `(b, l, d)`."""
    orders = [visit_order(route, height, width).to(y.device) for route in routes]
    return sum(y[:, k, torch.argsort(order)] for k, order in enumerate(orders))


def cross_selective_scan_reference(
    u: Tensor,
    dt: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    *,
    routes: Sequence[Route],
    height: int,
    width: int,
) -> Tensor:
    """Same arguments and result as `cross_selective_scan`, for autograd."""
    b, g, l = B.shape[:3]
    d, n = A.shape[1:]
    work = work_dtype(u)
    delta = torch.einsum('bglr,gdr->bgld', dt.to(work), dt_weight.to(work))
    scanned = [cross_scan(x.to(work), routes, height, width) for x in (u, delta, B, C)]
    u, delta, B, C = (x.transpose(2, 3) for x in scanned)  # (b, g, l, ...) -> (..., l)
    y: Any = selective_scan_reference(  # one tensor, as no last state is asked for
        u.reshape(b, g * d, l),
        delta.reshape(b, g * d, l),
        A.reshape(g * d, n),
        B,
        C,
        None if D is None else D.reshape(g * d),
        None,
        None if dt_bias is None else dt_bias.reshape(g * d),
        delta_softplus=True,
    )
    y = y.reshape(b, g, d, l).transpose(2, 3)  # (b, g, l, d)
    return cross_merge(y, routes, height, width)
