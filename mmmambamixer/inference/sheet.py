"""A sheet of pictures with a line of text each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from matplotlib.figure import Figure

THUMBNAIL = 800
"""Longer side of a picture that is kept for a sheet."""
PAIRS = 2
"""Images of a row, where each is beside its overlay."""
TALLEST = 1.5
"""Height over width up to which pictures fill their column."""


@dataclass(frozen=True)
class Cell:
    """A picture `(h, w, 3)`, RGB, uint8, its title, and the colour of that."""

    picture: np.ndarray
    title: str
    color: str = 'black'


def draw_sheet(
    cells: Sequence[Cell],
    path: Path,
    title: str,
    *,
    columns: int,
    side: float,
    handles: Sequence = (),
) -> None:
    """Write a PNG with the cells in rows.

    Args:
        cells: In the order of reading.
        path: File to write.
        title: Line above all.
        columns: Cells of a row.
        side: Width and height of a picture, inches.
        handles: Patches that explain colours, below the pictures.
    """
    rows = -(-len(cells) // columns)
    widest = max((len(handle.get_label()) for handle in handles), default=0)
    legend_columns = max(1, int(side * columns / (0.08 * widest + 0.6)))
    legend_rows = -(-len(handles) // legend_columns)
    aspect = max(cell.picture.shape[0] / cell.picture.shape[1] for cell in cells)
    lines = 1 + max(cell.title.count('\n') for cell in cells)
    row = side * min(aspect, TALLEST) + 0.1 + 0.18 * lines
    height = row * rows + 0.25 * legend_rows + (0.5 if title else 0.1)
    figure = Figure(figsize=(side * columns, height), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for axis, cell in zip(axes.flat, cells, strict=False):
        axis.imshow(cell.picture)
        axis.set_anchor('N')
        axis.set_title(cell.title, fontsize=9, color=cell.color)
    if title:
        figure.suptitle(title)
    if handles:
        place = 'outside lower center'
        figure.legend(handles=handles, loc=place, ncols=legend_columns, fontsize=9)
    figure.savefig(path, dpi=100, metadata={'Software': None})


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Return the picture, shrunk if it is larger than a sheet can show."""
    height, width = picture.shape[:2]
    scale = THUMBNAIL / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(side * scale)) for side in (width, height))
    return mmcv.imresize(picture, tuple(size))


def spread(items: Sequence, count: int) -> list:
    """Return at most `count` items, evenly from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]
