"""Picture of the averaging weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm

from mmmambamixer.models.layers import Stage

from ..selection import averaging_matrix, mixer_names
from .page import SIGNED, Source, new_page, save

TITLE = 'Averaging weights: what each mixer reads from the earlier maps of its stage'
TEXT = (
    'A row is the input of one mixer: the sum of the earlier maps of its stage, each '
    'times the number in its column. Before training there is 1 on the diagonal (the '
    'newest map) and 0 elsewhere: the plain residual network. Red adds a map, blue '
    'subtracts it; a blank below the diagonal is a map outside the window of '
    'max_connections. The last output goes to the next stage and is not averaged.'
)
TICKS = (-2, -1, -0.5, -0.1, 0, 0.1, 0.5, 1, 2)


def draw_averaging(stages: Sequence[Stage], source: Source, path: Path) -> None:
    """Draw the averaging weights as a matrix of numbers for each stage.

    Args:
        stages: With averaging.
        source: Told under the title.
        path: PNG to write.
    """
    counts = [len(stage.mixers) for stage in stages]
    cells = [max(count, 3) for count in counts]
    width = max(0.5 * sum(cells) + 1.3 * len(stages) + 1, 10)
    figure = new_page(width, 0.45 * max(cells) + 3.6, TITLE, source, TEXT)
    panels = figure.subplots(1, len(stages), squeeze=False, width_ratios=cells)[0]
    norm = SymLogNorm(0.1, vmin=TICKS[0], vmax=TICKS[-1])
    for i, (axes, stage) in enumerate(zip(panels, stages, strict=True)):
        weights = averaging_matrix(stage).numpy()
        image = axes.imshow(weights, cmap=SIGNED, norm=norm)
        names = [f'{kind} {number}' for kind, number in mixer_names(stage)]
        axes.set_xticks(range(counts[i]), ['input', *names[:-1]], rotation=90)
        axes.set_yticks(range(counts[i]), names)
        axes.tick_params(labelsize=8)
        axes.set(xlabel='map that is read', title=f'stage {i + 1}')
        write_numbers(axes, weights)
    panels[0].set_ylabel('mixer that reads')
    bar = figure.colorbar(
        image, ax=list(panels), fraction=0.03, pad=0.01, extend='both', ticks=TICKS
    )
    bar.ax.set_yticklabels([f'{tick:g}' for tick in TICKS])
    bar.set_label('weight (linear to 0.1, then log)')
    save(figure, path)


def write_numbers(axes: Axes, weights: np.ndarray) -> None:
    for (j, i), weight in np.ndenumerate(weights):
        if not np.isnan(weight):
            color = 'white' if abs(weight) > 0.6 else 'black'
            text = f'{round(float(weight), 2) + 0.0:.2f}'  # no -0.00
            axes.text(i, j, text, ha='center', va='center', color=color, fontsize=7)
