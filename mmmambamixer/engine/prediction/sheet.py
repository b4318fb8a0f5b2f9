"""A sheet of pictures with a line of text each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

LEGEND_ENTRY = 1.5
"""Width of an entry of the legend, inches."""


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
    legend_columns = max(1, int(side * columns / LEGEND_ENTRY))
    legend_rows = -(-len(handles) // legend_columns)
    height = (side + 0.45) * rows + 0.3 * legend_rows + (0.5 if title else 0.1)
    figure = Figure(figsize=(side * columns, height), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for axis, cell in zip(axes.flat, cells, strict=False):
        axis.imshow(cell.picture)
        axis.set_title(cell.title, fontsize=9, color=cell.color)
    if title:
        figure.suptitle(title)
    if handles:
        place = 'outside lower center'
        figure.legend(handles=handles, loc=place, ncols=legend_columns, fontsize=9)
    figure.savefig(path, dpi=100, metadata={'Software': None})


def spread(items: Sequence, count: int) -> list:
    """Return at most `count` items, evenly from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]
