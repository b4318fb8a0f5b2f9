"""Train the configs of a suite with several seeds and tabulate what their logs say.

    python benchmarks/trainings.py SUITE run [--jobs 2] [--only NAME ...]
    python benchmarks/trainings.py SUITE table

`run` trains every (network, split of the data, seed) of the suite that has no finished
log yet, each on one thread; `table` reads the logs, writes results/SUITE.json
(a row for each run, with machine, versions and commit) and prints a table. The metrics,
in per cent, are those after the last epoch, never the best ones.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mmengine.registry import MODELS, init_default_scope
from report import environment, write

from mmmambamixer.engine.config import load_config

ROOT = Path(__file__).parents[1]


class Suite(NamedTuple):
    """Networks that are compared with each other.

    Args:
        config: The config of a network, by its name.
        metrics: The key of a metric in the log, by its heading in the table.
        to_percent: Factor from the log to per cent.
        networks: What a network is and its seeds, by its name.
        splits: The option `data_root` of each split of the data; '' leaves it to the
            config.
    """

    config: str
    metrics: dict[str, str]
    to_percent: int
    networks: dict[str, tuple[str, tuple[int, ...]]]
    splits: tuple[str, ...] = ('',)


TOP1 = {'top1': 'accuracy/top1'}
AP = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
    'mask AP50': 'coco/segm_mAP_50',
}
SUITES = {
    'demo': Suite(
        config='configs/demo/{}_digits.py',
        metrics=TOP1,
        to_percent=1,
        networks={'vim2': ('ViM2 of the demo', (0, 1, 2))},
    ),
    'eurosat': Suite(
        config='configs/eurosat/{}_eurosat.py',
        metrics=TOP1,
        to_percent=1,
        networks={
            'vim2': ('ViM2: four channel scans, averaging', (0, 1)),
            'resnet18': ('ResNet-18 (stock mmpretrain)', (0, 1)),
            'vim2-token-only': ('token mixers only', (0,)),
            'vim2-mlp': ('ViM2-MLP: MLP, no averaging', (0,)),
            'vim2-scans1': ('one channel scan', (0,)),
            'vim2-scans2': ('two channel scans', (0,)),
            'vim2-no-averaging': ('no averaging', (0,)),
        },
    ),
    'nuclei': Suite(
        config='configs/nuclei/mask-rcnn_{}_nuclei.py',
        metrics=AP,
        to_percent=100,
        networks={
            'vim2': ('ViM2', (0, 1)),
            'resnet18': ('ResNet-18 of 20 channels (stock mmdet)', (0, 1)),
            'resnet18-gn': ('the same with GroupNorm', (0,)),
        },
    ),
    'spoken_digits': Suite(
        config='configs/spoken_digits/{}_spoken-digits.py',
        metrics=TOP1,
        to_percent=1,
        networks={
            'vim2': ('ViM2', (0,)),
            'resnet18': ('ResNet-18 of 8 channels (stock mmpretrain)', (0,)),
        },
        splits=tuple(
            f'data/spectrograms/{split}'
            for split in (
                *('george', 'jackson', 'lucas', 'nicolas', 'theo', 'yweweler'),
                'own',
            )
        ),
    ),
    'coco_free53': Suite(
        config='configs/coco_free53/mask-rcnn_{}_coco-free53.py',
        metrics={
            f'{heading}, {part}': f'{part}/{key}'
            for part in ('train', 'val')
            for heading, key in AP.items()
        },
        to_percent=100,
        networks={'vim2': ('ViM2', (0,))},
    ),
}


class Run(NamedTuple):
    """One training."""

    suite: str
    name: str
    seed: int
    split: str = ''

    @property
    def config(self) -> str:
        return SUITES[self.suite].config.format(self.name)

    @property
    def title(self) -> str:
        parts = (self.name, Path(self.split).name, f'seed{self.seed}')
        return '-'.join(part for part in parts if part)

    @property
    def folder(self) -> Path:
        return ROOT / 'work_dirs' / self.suite / self.title

    def scalars(self) -> list[dict]:
        """Return the logged lines of the newest run in the work folder."""
        logs = sorted(self.folder.glob('*/vis_data/scalars.json'))
        return [json.loads(line) for line in logs[-1].open()] if logs else []

    def epochs(self) -> int:
        return load_config(ROOT / self.config).train_cfg.max_epochs

    def metrics(self) -> dict[str, float] | None:
        """Return the metrics in per cent after the last epoch, None without a log."""
        suite = SUITES[self.suite]
        for line in self.scalars():
            tested = all(key in line for key in suite.metrics.values())
            if tested and line['step'] == self.epochs():
                return {
                    heading: round(suite.to_percent * line[key], 2)
                    for heading, key in suite.metrics.items()
                }
        return None

    def parameters(self) -> dict[str, int]:
        """Return the number of parameters of the whole model and of its backbone."""
        config = load_config(ROOT / self.config)
        init_default_scope(config.default_scope)
        model = MODELS.build(config.model)
        parts = dict(parameters=model, backbone_parameters=model.backbone)
        return {
            name: sum(p.numel() for p in part.parameters())
            for name, part in parts.items()
        }

    def train(self) -> None:
        print(f'{self.title}: log in {self.folder}.log', flush=True)
        command = [sys.executable, 'tools/train.py', self.config]
        command += ['--work-dir', str(self.folder)]
        command += ['--cfg-options', f'randomness.seed={self.seed}']
        command += [f'data_root={self.split}'] if self.split else []
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f'{self.folder}.log', 'w') as log:
            subprocess.run(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
                check=True,
            )
        print(f'{self.title}: {self.metrics()}', flush=True)


def runs(suite: str) -> list[Run]:
    return [
        Run(suite, name, seed, split)
        for split in SUITES[suite].splits
        for name, (_, seeds) in SUITES[suite].networks.items()
        for seed in seeds
    ]


def train(suite: str, jobs: int, only: list[str]) -> None:
    todo = [
        run
        for run in runs(suite)
        if (not only or run.name in only) and run.metrics() is None
    ]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(Run.train, todo))


def table(suite: str) -> None:
    rows = []
    for run in runs(suite):
        metrics = run.metrics()
        if metrics is None:
            print(f'{run.title}: no finished log', file=sys.stderr)
            continue
        rows.append(
            dict(
                config=run.config,
                network=SUITES[suite].networks[run.name][0],
                **(dict(split=Path(run.split).name) if run.split else {}),
                seed=run.seed,
                epochs=run.epochs(),
                **run.parameters(),
                **metrics,
            )
        )
    command = f'python benchmarks/trainings.py {suite}'
    if not rows:
        raise SystemExit(
            f'error: expected a finished log of {suite} in work_dirs/{suite}, got '
            f'none: train first, with {command} run'
        )
    report = dict(command=f'{command} table')
    report |= environment() | dict(threads=1, rows=rows)
    results = ROOT / 'benchmarks' / 'results' / f'{suite}.json'
    write(results, report)
    print(markdown(rows, list(SUITES[suite].metrics)))


def markdown(rows: list[dict], headings: list[str]) -> str:
    """Return a table: a line for each network and split, the metrics of its seeds."""
    lines = [
        f'| network | parameters | {" | ".join(headings)} |',
        f'|---|--:|{"--:|" * len(headings)}',
    ]
    titles = [
        f'{row["network"]}, {row["split"]}' if 'split' in row else row['network']
        for row in rows
    ]
    for title in dict.fromkeys(titles):
        mine = [row for row, other in zip(rows, titles, strict=True) if other == title]
        cells = [title, f'{mine[0]["parameters"] / 1e6:.2f} M']
        for heading in headings:
            values = [row[heading] for row in mine]
            cell = ', '.join(f'{value:.2f}' for value in values)
            if len(values) > 1:
                cell += f' (mean {sum(values) / len(values):.2f})'
            cells.append(cell)
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('suite', choices=SUITES)
    parser.add_argument('action', choices=['run', 'table'])
    parser.add_argument('--jobs', type=int, default=2, help='trainings at a time')
    parser.add_argument('--only', nargs='*', default=[], metavar='NAME')
    args = parser.parse_args()
    names = SUITES[args.suite].networks
    unknown = set(args.only) - set(names)
    if unknown:
        parser.error(f'--only takes {list(names)}, got {sorted(unknown)}')
    if args.action == 'run':
        train(args.suite, args.jobs, args.only)
    else:
        table(args.suite)


if __name__ == '__main__':
    main()
