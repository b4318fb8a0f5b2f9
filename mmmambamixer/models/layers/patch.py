"""From image to patches, and from one stage to the next.

Axis letters: b batch, h w map, c channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ImageStem(nn.Module):
    """Cut an image into patches: `(b, i, H, W)` -> `(b, ceil(H / 4), ceil(W / 4), c)`.

    Zeros are added at the right and the bottom where the size is no multiple of 4.

    Args:
        in_channels: Channels of the image, i.
        d_model: Channels of a patch, c.
        patch_size: Side of a patch, 4.

    Reference: MambaMixer, arXiv:2403.19888, Table 8.
    """

    def __init__(self, *, in_channels: int, d_model: int, patch_size: int = 4) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, d_model, patch_size, patch_size)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(pad_to_multiple(x, self.proj.stride[0]))
        return self.norm(x.permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Halve a map: `(b, h, w, c)` -> `(b, ceil(h / 2), ceil(w / 2), d_out)`.

    The channels of 2 x 2 neighbours are concatenated in the order (0, 0), (1, 0),
    (0, 1), (1, 1) of (row, column). Odd sizes are padded with zeros.

    Args:
        d_model: Channels, c.
        d_out: Channels after it.

    Reference: Swin Transformer, arXiv:2103.14030, section 3.1.
    Differs from the paper: which does not say how it downsamples; VMamba's way.
    """

    def __init__(self, *, d_model: int, d_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * d_model)
        self.reduction = nn.Linear(4 * d_model, d_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_to_multiple(x.permute(0, 3, 1, 2), 2)  # (b, c, 2 h, 2 w)
        x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # (b, c, h, row, w, column)
        x = x.permute(0, 2, 4, 5, 3, 1).flatten(3)  # (b, h, w, column row c)
        return self.reduction(self.norm(x))


def pad_to_multiple(x: Tensor, factor: int) -> Tensor:
    """Add zeros at the end of the last two axes until `factor` divides them.

    Compiled, it always pads, by nothing maybe: one graph serves all sizes.
    """
    height, width = (((size - 1) // factor + 1) * factor for size in x.shape[-2:])
    bottom, right = height - x.shape[-2], width - x.shape[-1]
    if torch.compiler.is_compiling() or bottom or right:
        x = F.pad(x, (0, right, 0, bottom))
    return x
