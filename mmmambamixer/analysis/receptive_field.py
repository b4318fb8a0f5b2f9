"""Effective receptive field: how much each pixel moves the centre of a stage's map.

Reference: Luo et al., arXiv:1701.04128, section 2.
Differs from it: the gradient starts at the sum over the channels of the centre
position; absolute values are added up over the channels of the image.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from mmmambamixer.models.backbones import ViM2

from .selection import evaluating


def receptive_fields(backbone: ViM2, images: Iterable[Tensor]) -> list[Tensor]:
    """Return the mean over the images of |d centre / d pixel| for each stage.

    The centre is the position `(h // 2, w // 2)` of the stage's output map, before
    the output norm: through a norm the sum over channels does not depend on the image.

    Args:
        backbone: Left as it was: hooks are removed, the mode is set again, no
            gradient is left in the parameters.
        images: Each `(in_channels, H, W)`, normalised as in training, of one size.

    Returns:
        A map `(H, W)` for each stage.

    Raises:
        ValueError: If the images differ in size or there is none.
    """
    images = list(images)
    sizes = sorted({tuple(image.shape[1:]) for image in images})
    if len(sizes) != 1:
        raise ValueError(
            f'the receptive field needs images of one size, got the sizes {sizes}'
        )
    outs = []
    handles = [
        stage.register_forward_hook(lambda module, args, out: outs.append(out))
        for stage in backbone.stages
    ]
    total = [0] * len(handles)
    try:
        with evaluating(backbone), torch.enable_grad():
            for image in images:
                outs.clear()
                pixels = image[None].detach().clone().requires_grad_()
                backbone(pixels)
                for i, out in enumerate(outs):  # (1, h, w, c)
                    centre = out[0, out.shape[1] // 2, out.shape[2] // 2].sum()
                    last = i == len(outs) - 1
                    (grad,) = torch.autograd.grad(centre, pixels, retain_graph=not last)
                    total[i] = total[i] + grad[0].abs().sum(0) / len(images)
    finally:
        for handle in handles:
            handle.remove()
    return total


def stride_of(stage: int) -> int:
    """Return the pixels from one position of a stage's map to the next."""
    return 4 * 2**stage


def centre_of(size: int, stride: int) -> int:
    """Return the pixel edge in the middle of the patch of the centre position.

    Args:
        size: Height or width of the image in pixels.
        stride: Pixels from one position of the map to the next, even.
    """
    positions = -(-size // stride)
    return positions // 2 * stride + stride // 2


def shares_by_side(field: Tensor, stride: int) -> Tensor:
    """Return how much of a field centred squares hold: element s is for side s pixels.

    The squares lie around the patch of the centre position and are cut at the borders
    of the image; the last one covers all of it.

    Args:
        field: A receptive field, `(H, W)`.
        stride: Pixels from one position of the stage's map to the next, even.

    Raises:
        ValueError: If the field is zero everywhere, or not finite.
    """
    field, reach = field.double().cpu(), []
    if not 0 < field.sum() < torch.inf:
        raise ValueError(
            'the receptive field cannot be computed: its sum must be positive and '
            f'finite, got {float(field.sum())}; the output at the centre may not '
            'depend on the image'
        )
    for size in field.shape:
        pixels = torch.arange(size) + 0.5
        reach.append(2 * (pixels - centre_of(size, stride)).abs() + 1)
    side = torch.maximum(reach[0][:, None], reach[1][None]).long()
    held = torch.bincount(side.flatten(), weights=field.flatten()).cumsum(0)
    return held / held[-1]


def side_holding(field: Tensor, stride: int, share: float) -> int:
    """Return the side in pixels of the smallest centred square with that share."""
    return int((shares_by_side(field, stride) < share).sum())
