"""The norm of a map that leaves the network."""

from torch import Tensor, nn


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map, which it gives as convolutions want it.

    `(b, h, w, c)` -> `(b, c, h, w)`. Tools that look at the activations of a layer,
    class activation maps above all, read the output as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        return channels_first(super().forward(x))


def channels_first(x: Tensor) -> Tensor:
    """Return a map `(b, h, w, c)` as `(b, c, h, w)`, as it lies in memory too."""
    return x.permute(0, 3, 1, 2).contiguous()
