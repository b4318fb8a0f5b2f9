"""What all pictures share: title and source above, a short explanation below."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

SIGNED = 'RdBu_r'
"""Colours: red is above or positive, blue below or negative, white neutral."""
LETTERS_PER_INCH = 13


@dataclass(frozen=True)
class Source:
    """What a picture was made from.

    Args:
        config: Path of the config.
        checkpoint: Path of the weights, or None if they are random.
        images: Paths of the images; empty where the picture depends on none.
    """

    config: str
    checkpoint: str | None
    images: Sequence[str] = ()

    def lines(self) -> list[str]:
        weights = f'checkpoint {self.checkpoint}'
        if self.checkpoint is None:
            weights = 'RANDOM WEIGHTS: no checkpoint was given'
        lines = [f'config {self.config}', weights]
        if len(self.images) == 1:
            lines.append(f'image {self.images[0]}')
        elif self.images:
            first, count = self.images[0], len(self.images)
            lines.append(f'mean over {count} images, the first is {first}')
        return lines


def new_page(
    width: float, height: float, title: str, source: Source, text: str
) -> Figure:
    """Return a figure with title, source and explanation, in inches, to draw on."""
    figure = Figure(figsize=(width, height), layout='constrained')
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    letters = int(LETTERS_PER_INCH * width)
    style = dict(x=0.01, ha='left', fontsize=10)
    head = [textwrap.fill(line, letters) for line in (title, *source.lines())]
    figure.suptitle('\n'.join(head), **style)
    figure.supxlabel(textwrap.fill(text, letters), **style)
    return figure


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=100, metadata={'Software': None})
