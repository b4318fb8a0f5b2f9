"""From a series to tokens: overlapping patches of each variate."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SeriesPatches(nn.Module):
    """Cut each variate into patches and project them to tokens.

    The end is padded with `stride` repeats of the last value, so that the newest steps
    lie in two patches like all others. `(b, m, t, f)` -> `(b, m, p, c)`.

    Args:
        length: Steps of the series, t.
        features: Numbers of a step, f.
        patch_len: Steps of a patch.
        stride: Steps from a patch to the next.
        d_model: Channels of a token, c.

    Raises:
        ValueError: If the series is shorter than a patch.

    Reference: PatchTST, arXiv:2211.14730, whose patches these are.
    Differs from the paper: which gives no sizes.
    """

    def __init__(
        self, *, length: int, features: int, patch_len: int, stride: int, d_model: int
    ) -> None:
        super().__init__()
        if length < patch_len:
            raise ValueError(
                f'a series of {length} steps is shorter than a patch, patch_len='
                f'{patch_len}'
            )
        self.patch_len, self.stride = patch_len, stride
        self.patches = (length + stride - patch_len) // stride + 1
        self.proj = nn.Linear(patch_len * features, d_model)
        self.position = nn.Parameter(torch.empty(self.patches, d_model))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the positions close to 0."""
        self.position.normal_(std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        b, m, t, f = x.shape
        x = x.transpose(2, 3).reshape(b, m * f, t)
        x = F.pad(x, (0, self.stride), mode='replicate')
        x = x.unfold(2, self.patch_len, self.stride)  # (b, m f, p, patch_len)
        if f > 1:
            x = x.unflatten(1, (m, f)).transpose(2, 3).flatten(3)
        return self.proj(x) + self.position
