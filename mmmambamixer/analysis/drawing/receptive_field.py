"""Picture of the effective receptive fields."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from ..receptive_field import centre_of, shares_by_side, side_holding, stride_of
from .page import Source, new_page, save

TITLE = (
    "Effective receptive field: how much each pixel moves the centre of a stage's map"
)
TEXT = (
    'Above: |gradient| of the sum over channels at the centre position of the map, '
    'added up over the colours and divided by its largest value. The squares around '
    'the centre hold 50 % (solid) and 99 % (dashed) of the sum over all pixels. They '
    'are cut at the border of the image, so one wider than the image covers nearly all '
    'of it. Below: what squares of every side hold. A line far above the dotted one '
    'looks near the centre, one close to it looks everywhere.'
)
FAINTEST = 1e-4
"""Lower end of the colours, over the largest value."""


def draw_receptive_fields(fields: Sequence[Tensor], source: Source, path: Path) -> None:
    """Draw the receptive field of each stage, and how much of it squares hold.

    Args:
        fields: `(H, W)` for each stage.
        source: Told under the title.
        path: PNG to write.
    """
    height, width = fields[0].shape
    count = max(len(fields), 3)
    cell = 2.9 * min(max(height / width, 0.5), 1.6)
    figure = new_page(3.2 * count + 0.8, cell + 5.2, TITLE, source, TEXT)
    upper, lower = figure.subfigures(2, 1, height_ratios=(cell + 0.7, 2.9))
    panels = upper.subplots(1, len(fields), squeeze=False)[0]
    for i, (axes, field) in enumerate(zip(panels, fields, strict=True)):
        image = draw_field(axes, field, i)
    bar = upper.colorbar(image, ax=list(panels), fraction=0.03, pad=0.01, extend='min')
    bar.set_label('|gradient| over its maximum')
    draw_shares(lower.subplots(), fields)
    save(figure, path)


def draw_field(axes: Axes, field: Tensor, stage: int) -> AxesImage:
    """Draw one field on a log scale with the squares of 50 and 99 %."""
    (height, width), stride = field.shape, stride_of(stage)
    values = (field / field.max()).clamp(min=FAINTEST / 10).cpu().numpy()
    norm, extent = LogNorm(FAINTEST, 1), (0, width, height, 0)
    image = axes.imshow(values, cmap='magma', norm=norm, extent=extent)
    y, x = (centre_of(size, stride) for size in (height, width))
    sides = [side_holding(field, stride, share) for share in (0.5, 0.99)]
    for side, dashes in zip(sides, ('-', '--'), strict=True):
        corner = (x - side / 2, y - side / 2)
        style = dict(fill=False, edgecolor='cyan', linestyle=dashes)
        axes.add_patch(Rectangle(corner, side, side, **style))
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel='px')
    title = f'stage {stage + 1}: 50 % in {sides[0]} px, 99 % in {sides[1]} px'
    axes.set_title(title, fontsize=9)
    return image


def draw_shares(axes: Axes, fields: Sequence[Tensor]) -> None:
    """Draw which share of each field squares hold, by their side."""
    for i, field in enumerate(fields):
        shares = shares_by_side(field, stride_of(i))[::2]  # the sides are even
        axes.plot(range(0, 2 * len(shares), 2), shares, label=f'stage {i + 1}')
    even = shares_by_side(torch.ones(field.shape), stride_of(i))[::2]
    sides = range(0, 2 * len(even), 2)
    axes.plot(
        sides,
        even,
        color='grey',
        linestyle=':',
        label=f'all pixels alike (stage {i + 1})',
    )
    axes.set(xlabel='side of the square, px', ylabel='share of the sum')
    axes.set(xlim=(0, sides[-1]), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
