"""Draw the picture of ViM2 in the README.

python tools/draw_architecture.py resources/architecture.png
"""

import argparse
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

INK, FAINT = '#22303c', '#7d8b97'
TOKEN, CHANNEL, AVERAGE = '#2f6fb0', '#cf7420', '#3f8f5b'
LIGHT = {TOKEN: '#dfeaf6', CHANNEL: '#fbe9d5', INK: '#eef1f4', AVERAGE: '#e0f0e5'}
STAGES = (
    ('H/4', 96, 2, 1),
    ('H/8', 192, 2, 1),
    ('H/16', 384, 6, 3),
    ('H/32', 768, 2, 1),
)
Point = tuple[float, float]


def box(
    axes: Axes, x: float, y: float, w: float, h: float, text: str, color: str = INK
) -> None:
    """Draw a rounded box with its centre at `(x, y)`."""
    shape = FancyBboxPatch(
        (x - w / 2, y - h / 2),
        w,
        h,
        boxstyle='round,pad=0,rounding_size=0.09',
        facecolor=LIGHT[color],
        edgecolor=color,
        linewidth=1.3,
    )
    axes.add_patch(shape)
    write(axes, x, y, text)


def write(axes: Axes, x: float, y: float, text: str, **style) -> None:
    style = dict(size=9.5, color=INK, ha='center', va='center') | style
    axes.text(x, y, text, **style)


def title(axes: Axes, x: float, y: float, text: str, note: str) -> None:
    write(axes, x, y, text, size=13, weight='bold', ha='left')
    write(axes, x, y - 0.3, note, size=9.5, color=FAINT, ha='left')


def arrow(axes: Axes, start: Point, end: Point, color: str = INK) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle='-|>',
            mutation_scale=9,
            color=color,
            linewidth=1.2,
            shrinkA=0,
            shrinkB=0,
        )
    )


def bent_arrow(axes: Axes, *points: Point, color: str = INK) -> None:
    """Draw an arrow through the points with straight lines."""
    axes.plot(*zip(*points[:-1], strict=True), color=color, linewidth=1.2)
    arrow(axes, points[-2], points[-1], color)


def node(axes: Axes, x: float, y: float, sign: str, color: str) -> None:
    axes.add_patch(Circle((x, y), 0.15, facecolor=LIGHT[color], edgecolor=color))
    write(axes, x, y - 0.01, sign)


def draw_network(axes: Axes, y: float) -> None:
    title(axes, 0.2, y + 1.3, 'ViM2', 'widths and depths of ViM2-T')
    box(axes, 0.7, y, 1.0, 0.8, 'image\n3, H x W')
    arrow(axes, (1.2, y), (1.5, y))
    box(axes, 2.05, y, 1.1, 0.8, 'conv 4 x 4\nLayerNorm')
    left = 2.6
    for i, (side, width, tokens, channels) in enumerate(STAGES):
        if i:
            arrow(axes, (left, y), (left + 0.25, y))
            box(axes, left + 0.65, y, 0.8, 0.8, 'patch\nmerging')
            left += 1.05
        arrow(axes, (left, y), (left + 0.25, y))
        x = left + 1.13
        box(axes, x, y, 1.76, 1.5, '')
        write(axes, x, y + 0.5, f'stage {i + 1}', weight='bold')
        size = f'{width} x {side} x {side.replace("H", "W")}'
        write(axes, x, y + 0.2, size, color=FAINT, size=9)
        write(axes, x, y - 0.17, f'{tokens} token mixers', color=TOKEN)
        plural = 's' if channels > 1 else ''
        write(axes, x, y - 0.47, f'{channels} channel mixer{plural}', color=CHANNEL)
        arrow(axes, (x, y - 0.75), (x, y - 1.05))
        write(axes, x, y - 1.2, 'LayerNorm, output', size=9, color=FAINT)
        left = x + 0.88


def draw_stage(axes: Axes, x: float) -> None:
    title(axes, x, 4.75, 'Inside a stage', 'mixers read weighted averages')
    x += 1.45
    write(axes, x, 4.05, 'input of the stage', size=9, color=FAINT)
    token, channel = ('token mixer', TOKEN), ('channel mixer', CHANNEL)
    outputs = [3.92]
    for j, (name, color) in enumerate((token, token, channel)):
        y = 3.45 - 1.15 * j
        arrow(axes, (x, outputs[-1]), (x, y + 0.15))
        for i, source in enumerate(outputs[:-1]):
            rail = x + 1.0 if i else x - 0.8 - 0.15 * j
            points = (x, source - 0.12), (rail, source - 0.12), (rail, y)
            end = (x + 0.15 if i else x - 0.15, y)
            bent_arrow(axes, *points, end, color=AVERAGE)
        node(axes, x, y, r'$\Sigma$', AVERAGE)
        arrow(axes, (x, y - 0.15), (x, y - 0.32))
        box(axes, x, y - 0.54, 1.6, 0.44, name, color)
        outputs.append(y - 0.76)
    arrow(axes, (x, outputs[-1]), (x, 0.1))
    write(axes, x, -0.12, 'each mixer: x + Mixer(LayerNorm(x))', size=9, color=FAINT)


def draw_mixer(
    axes: Axes, x: float, name: str, note: str, steps: tuple[str, str], color: str
) -> None:
    title(axes, x, 4.75, name, note)
    v, z = x + 0.85, x + 2.35
    middle = (v + z) / 2
    write(axes, middle, 4.12, 'x', style='italic')
    for branch in (v, z):
        arrow(axes, (middle, 3.98), (branch, 3.66))
        box(axes, branch, 3.45, 1.1, 0.42, 'Linear')
    rows = ((3.45, 0.21), (2.75, 0.24), (1.95, 0.3), (1.25, 0.21), (0.68, 0.15))
    for (y, half), (below, half_below) in pairwise(rows):
        arrow(axes, (v, y - half), (v, below + half_below))
    conv, scan = steps
    box(axes, v, 2.75, 1.6, 0.48, conv)
    box(axes, v, 1.95, 1.6, 0.6, scan, color)
    box(axes, v, 1.25, 1.6, 0.42, 'LayerNorm')
    arrow(axes, (z, 3.24), (z, 2.96))
    box(axes, z, 2.75, 0.8, 0.42, 'SiLU')
    bent_arrow(axes, (z, 2.54), (z, 0.68), (v + 0.15, 0.68))
    node(axes, v, 0.68, r'$\times$', INK)
    arrow(axes, (v, 0.53), (v, 0.34))
    box(axes, v, 0.13, 1.1, 0.42, 'Linear')


def draw_scans(axes: Axes, x: float) -> None:
    title(axes, x, 4.75, 'The four scans', 'each with its own B, C, delta, A, D')
    names = ('rows', 'columns', 'rows back', 'columns back')
    for k, name in enumerate(names):
        left, low = x + 0.15 + 1.6 * (k % 2), 2.85 - 1.55 * (k // 2)
        draw_route(axes, left, low, by_columns=k % 2 == 1, backward=k > 1)
        write(axes, left + 0.5, low - 0.18, f'{k + 1}: {name}', size=9, color=TOKEN)
    for row, (ends, name) in enumerate(
        (((0, 1), '1, 2: channels'), ((1, 0), '3, 4: channels back'))
    ):
        y = 0.7 - 0.48 * row
        for i in range(6):
            axes.add_patch(
                Rectangle(
                    (x + 0.15 + 0.2 * i, y - 0.1),
                    0.2,
                    0.2,
                    facecolor=LIGHT[CHANNEL],
                    edgecolor=CHANNEL,
                    linewidth=0.8,
                )
            )
        start, end = (x + 0.2 + 1.1 * side for side in ends)
        arrow(axes, (start, y), (end, y))
        write(axes, x + 1.5, y, name, size=9, color=CHANNEL, ha='left')


def draw_route(
    axes: Axes, left: float, low: float, *, by_columns: bool, backward: bool
) -> None:
    """Draw a 4 x 4 map and the way of a scan through it."""
    cells, cell = 4, 0.25
    for i in range(cells * cells):
        corner = (left + cell * (i % cells), low + cell * (i // cells))
        axes.add_patch(
            Rectangle(
                corner,
                cell,
                cell,
                facecolor=LIGHT[TOKEN],
                edgecolor='white',
                linewidth=1.2,
            )
        )
    for i in range(cells):
        across = cell * (i + 0.5)
        ends = [cell * 0.25, cell * (cells - 0.25)]
        if backward:
            ends.reverse()
        if by_columns:  # columns go down the picture
            start, end = ((left + across, low + cell * cells - e) for e in ends)
        else:
            start, end = ((left + e, low + across) for e in ends)
        arrow(axes, start, end, TOKEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', help='picture to write')
    args = parser.parse_args()
    figure = Figure(figsize=(14, 8.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 14), ylim=(-0.4, 8), aspect='equal')
    axes.axis('off')
    draw_network(axes, 6.45)
    draw_stage(axes, 0.2)
    steps = ('DWConv 3 x 3, SiLU', '4 x S6\nalong the tokens')
    draw_mixer(axes, 3.7, 'Selective token mixer', 'mixes h w positions', steps, TOKEN)
    steps = ('conv 4, SiLU', '4 x S6\nalong the channels')
    draw_mixer(axes, 7.3, 'Selective channel mixer', 'mixes e channels', steps, CHANNEL)
    draw_scans(axes, 10.9)
    figure.savefig(args.out, dpi=110, facecolor='white', metadata={'Software': None})


if __name__ == '__main__':
    main()
