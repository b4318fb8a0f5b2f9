"""Tokens of what is known beside the series: future covariates, static features.

Axis letters: b batch, m variates, h horizon, f covariates, s static features, p tokens,
c channels.
"""

import torch
from torch import Tensor, nn

from .mixers import VariateMixer
from .patches import SeriesPatches
from .sequence_mixer import SelectiveSequenceMixer


class FutureTokens(nn.Module):
    """Tokens of the covariates that are known for the steps to forecast.

    They are cut into patches as the series are, and mixed over the variates.
    `(b, m, h, f)` -> `(b, m, p, c)`. A NaN is a missing value: it counts as 0, and a
    second number of each covariate says so.

    Args:
        horizon: Steps, h.
        covariates: Numbers of a step and variate, f.
        d_model: Channels of a token, c.
        patch_len: Steps of a patch; the horizon if that is shorter.
        stride: Steps from a patch to the next.
        expand: Width inside the mixer over c.
        d_state: States of its scans.

    Reference: MambaMixer, arXiv:2403.19888, eq. (21), (22).
    Differs from the paper: which maps them to the length of the look-back and joins the
    parts before it cuts patches; here they are patches of their own, so none lies
    across a seam.
    """

    def __init__(
        self,
        *,
        horizon: int,
        covariates: int,
        d_model: int,
        patch_len: int,
        stride: int,
        expand: int = 2,
        d_state: int = 16,
    ) -> None:
        super().__init__()
        patch_len = min(patch_len, horizon)
        self.patch = SeriesPatches(
            length=horizon,
            features=2 * covariates,
            patch_len=patch_len,
            stride=min(stride, patch_len),
            d_model=d_model,
        )
        self.patches = self.patch.patches
        self.shape = (horizon, covariates)
        self.norm = nn.LayerNorm(d_model)
        self.mixer = VariateMixer(
            SelectiveSequenceMixer(
                d_model=d_model, scans=2, expand=expand, d_state=d_state
            )
        )

    def forward(self, known: Tensor) -> Tensor:
        missing = torch.isnan(known)
        numbers = torch.cat([known.masked_fill(missing, 0), missing.to(known)], -1)
        x = self.patch(numbers)  # (b, m, p, c)
        return x + self.mixer(self.norm(x))


class StaticToken(nn.Module):
    """One token of what is known of each variate: `(b, m, s)` -> `(b, m, 1, c)`.

    Args:
        features: Numbers of a variate, s.
        d_model: Channels of the token, c.

    Reference: MambaMixer, arXiv:2403.19888, eq. (23).
    Differs from the paper: which maps them to the length of the look-back; one token
    says as much.
    """

    patches = 1

    def __init__(self, *, features: int, d_model: int) -> None:
        super().__init__()
        self.shape = (features,)
        self.proj = nn.Linear(features, d_model)

    def forward(self, static: Tensor) -> Tensor:
        return self.proj(static).unsqueeze(2)
