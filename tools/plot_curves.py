"""Draw loss and accuracy over training from the log of a work dir.

python tools/plot_curves.py work_dirs/demo --out work_dirs/demo/curves.png
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def read_log(work_dir: Path) -> list[dict]:
    """Return the lines of the latest training log of a work dir.

    Raises:
        FileNotFoundError: If there is none.
    """
    logs = [
        p for p in sorted(work_dir.glob('*/vis_data/scalars.json')) if is_training(p)
    ]
    if not logs:
        raise FileNotFoundError(
            f'no training log in {work_dir} (looked for */vis_data/scalars.json)'
        )
    return read_lines(logs[-1])


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def is_training(path: Path) -> bool:
    return any('loss' in line for line in read_lines(path))


def draw(lines: list[dict], metric: str, path: Path) -> None:
    """Draw the loss by iteration and the metric by epoch, side by side.

    Raises:
        ValueError: If the log has no value of the metric.
    """
    losses = [(line['iter'], line['loss']) for line in lines if 'loss' in line]
    values = [(line['step'], line[metric]) for line in lines if metric in line]
    if not values:
        names = sorted({key for line in lines for key in line if '/' in key})
        raise ValueError(
            f'the log has no {metric}, only {", ".join(names) or "losses"}'
        )
    figure = Figure(figsize=(11, 4), layout='tight')
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*losses, strict=True))
    left.set(xlabel='iteration', ylabel='training loss', title='Loss')
    right.plot(*zip(*values, strict=True), marker='.')
    last = values[-1][1]
    right.set(xlabel='epoch', ylabel=metric, title=f'Held-out {metric}: {last:.2f}')
    for axis in (left, right):
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={'Software': None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path, help='folder of a training run')
    parser.add_argument('--out', type=Path, help='picture; curves.png in the work dir')
    parser.add_argument('--metric', default='accuracy/top1')
    args = parser.parse_args()
    out = args.out or args.work_dir / 'curves.png'
    try:
        draw(read_log(args.work_dir), args.metric, out)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'picture: {out}')


if __name__ == '__main__':
    main()
