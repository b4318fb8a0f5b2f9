"""Pictures of the step sizes: maps of the tokens, strips of the channels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from mmmambamixer.ops import Route

from ..receptive_field import stride_of
from ..selection import Selection
from .page import SIGNED, Source, new_page, save

TOKEN_ROUTES = {
    Route.ROWS: 'rows, left to right',
    Route.COLUMNS: 'columns, downwards',
    Route.ROWS_BACKWARD: 'rows, right to left',
    Route.COLUMNS_BACKWARD: 'columns, upwards',
}
TOKENS_TITLE = (
    'Where the token mixers select: step size delta of each scan, mean over features'
)
TOKENS_TEXT = (
    'Each map shows, in image coordinates, how far delta is from its mean over the '
    'map; that mean stands above the map. Red: the scan takes this token into its '
    'state and forgets more of what came before. Blue: it passes over the token. Each '
    'row has its own colour scale: the wider its range, the more selective the mixer.'
)
CHANNELS_TITLE = (
    'Which channels the channel mixers select: step size delta of each scan, '
    'mean over tokens'
)
CHANNELS_TEXT = (
    'A column is one of the features inside the mixer, a row one of its scans. Colours '
    'show how far delta is from its mean over the row; that mean stands at the left. '
    'Red: the scan takes this feature into its state and forgets more of what came '
    'before. Blue: it passes over the feature. The features lie in the same order for '
    'all scans; a backward scan visits them from right to left. Each strip has its own '
    'colour scale: the wider its range, the more selective the mixer. Stages without a '
    'channel mixer are left out.'
)


def over_mean(delta: Tensor) -> np.ndarray:
    """Return how far delta is from its mean over all but the first axis, in %."""
    mean = delta.flatten(1).mean(1).reshape(-1, *[1] * (delta.dim() - 1))
    return (100 * (delta / mean - 1)).float().cpu().numpy()


def show(axes: Axes, values: np.ndarray, limit: float, **options) -> AxesImage:
    # A flat map would have a scale of no width.
    limit = max(limit, 0.1)
    axes.set_facecolor('lightgrey')
    return axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, **options)


def draw_tokens(
    selections: Sequence[Selection], picture: np.ndarray, source: Source, path: Path
) -> None:
    """Draw delta of token mixers as maps: a row for each, a column for each route.

    Args:
        selections: Of token mixers; the first image of the batch is drawn.
        picture: The image as the network sees it, `(H, W, 3)`, 8 bit.
        source: Told under the title.
        path: PNG to write.
    """
    height, width = picture.shape[:2]
    cell = 2.2 * min(max(height / width, 0.5), 1.6)
    high = (cell + 0.5) * len(selections) + 2.1
    figure = new_page(12.5, high, TOKENS_TITLE, source, TOKENS_TEXT)
    columns = 1 + len(selections[0].routes)
    rows = figure.subplots(len(selections), columns, squeeze=False)
    for axes, selection in zip(rows, selections, strict=True):
        axes[0].imshow(picture, extent=(0, width, height, 0))
        axes[0].set_title('image, px', fontsize=9)
        h, w = selection.delta.shape[2:]
        axes[0].set_ylabel(
            f'stage {selection.stage + 1}, token mixer {selection.number}\n'
            f'{h} x {w} tokens of {stride_of(selection.stage)} px'
        )
        draw_maps(figure, axes[1:], selection, (height, width))
    save(figure, path)


def draw_maps(
    figure: Figure, row: Sequence[Axes], selection: Selection, size: tuple[int, int]
) -> None:
    """Draw the maps of one mixer and their common colour bar."""
    delta, stride = selection.delta[0], stride_of(selection.stage)
    values, (h, w) = over_mean(delta), delta.shape[1:]
    extent = (0, w * stride, h * stride, 0)
    for k, (axes, route) in enumerate(zip(row, selection.routes, strict=True)):
        image = show(axes, values[k], abs(values).max(), extent=extent)
        title = f'{TOKEN_ROUTES[route]}\nmean delta {float(delta[k].mean()):.4f}'
        axes.set_title(title, fontsize=9)
        axes.set(xlim=(0, size[1]), ylim=(size[0], 0), xticks=[], yticks=[])
    bar = figure.colorbar(image, ax=list(row), fraction=0.03, pad=0.01)
    bar.set_label('delta, % from mean')


def draw_channels(selections: Sequence[Selection], source: Source, path: Path) -> None:
    """Draw delta of channel mixers along the channels: a strip of scans for each.

    Args:
        selections: Of channel mixers; the first image of the batch is drawn.
        source: Told under the title.
        path: PNG to write.
    """
    heights = [0.9 + 0.32 * len(selection.routes) for selection in selections]
    figure = new_page(12.5, sum(heights) + 2.2, CHANNELS_TITLE, source, CHANNELS_TEXT)
    panels = figure.subplots(len(selections), 1, squeeze=False, height_ratios=heights)
    for axes, selection in zip(panels.flat, selections, strict=True):
        draw_strip(figure, axes, selection)
    panels.flat[-1].set_xlabel('feature inside the mixer')
    save(figure, path)


def draw_strip(figure: Figure, axes: Axes, selection: Selection) -> None:
    """Draw the scans of one channel mixer, one above the other."""
    delta = selection.delta[0]  # (g, e)
    values, (g, e) = over_mean(delta), delta.shape
    image = show(
        axes,
        values,
        abs(values).max(),
        aspect='auto',
        interpolation='nearest',
        extent=(-0.5, e - 0.5, g - 0.5, -0.5),
    )
    names = []
    for k, route in enumerate(selection.routes):
        way = 'backward' if route >= Route.ROWS_BACKWARD else 'forward'
        names.append(f'scan {k + 1}, {way}: mean delta {float(delta[k].mean()):.4f}')
    axes.set_yticks(range(g), names, fontsize=8)
    k, feature = divmod(int(values.argmax()), e)
    axes.set_title(
        f'stage {selection.stage + 1}, channel mixer {selection.number}, {e} features; '
        f'furthest above the mean: feature {feature} in scan {k + 1} '
        f'({values[k, feature]:+.1f} %)',
        fontsize=9,
        loc='left',
    )
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label('delta, % from mean', fontsize=8)
