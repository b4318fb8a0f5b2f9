"""What a forecaster is trained on.

Axis letters: q quantiles, b batch, h horizon, m variates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

POINT_LOSSES = {
    'mse': F.mse_loss,
    'mae': F.l1_loss,
    'huber': F.smooth_l1_loss,
}


def point_loss(
    kind: str, forecast: Tensor, target: Tensor, observed: Tensor | None
) -> Tensor:
    """Return the mean loss of the observed targets.

    Args:
        kind: 'mse', 'mae' or 'huber' (with the bend at 1).
        forecast: `(b, h, m)`.
        target: `(b, h, m)`.
        observed: Which targets are there, `(b, h, m)`, or None for all.
    """
    losses = POINT_LOSSES[kind](forecast, target, reduction='none')
    return observed_mean(losses, observed)


def pinball_loss(
    levels: Tensor, quantiles: Tensor, target: Tensor, observed: Tensor | None
) -> Tensor:
    """Return the mean quantile loss of the observed targets.

    Args:
        levels: `(q,)`, between 0 and 1.
        quantiles: `(q, b, h, m)`.
        target: `(b, h, m)`.
        observed: Which targets are there, `(b, h, m)`, or None for all.

    Reference: Koenker and Bassett, Econometrica 46, 1978.
    """
    error = target - quantiles
    levels = levels.view(-1, 1, 1, 1)
    losses = torch.maximum(levels * error, (levels - 1) * error)
    return observed_mean(losses.mean(0), observed)


def observed_mean(losses: Tensor, observed: Tensor | None) -> Tensor:
    """Return the mean over what is observed; 0 if nothing is."""
    if observed is None:
        return losses.mean()
    losses = torch.where(observed, losses, 0)
    return losses.sum() / observed.sum().clamp_min(1)
