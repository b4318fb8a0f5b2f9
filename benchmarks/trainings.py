"""Train the configs of a suite with several seeds and tabulate what their logs say.

    python benchmarks/trainings.py SUITE run [--jobs 2] [--only NAME ...]
    python benchmarks/trainings.py SUITE table

`run` trains every (config, seed) of the suite that has no finished log yet, each on one
thread; `table` reads the logs, writes benchmarks/results/SUITE.json (a row for each
run, with machine, versions and commit) and prints a table. The accuracy is that of the
last epoch, never the best one.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mmpretrain.models  # noqa: F401
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from report import environment

ROOT = Path(__file__).parents[1]
CONFIGS = {
    'demo': 'configs/demo/{}_digits.py',
    'eurosat': 'configs/eurosat/{}_eurosat.py',
}
RUNS = {  # suite: {name of the config: (what it is, seeds)}
    'demo': {'vim2': ('ViM2 of the demo', (0, 1, 2))},
    'eurosat': {
        'vim2': ('ViM2: four channel scans, averaging', (0, 1)),
        'resnet18': ('ResNet-18 (stock mmpretrain)', (0, 1)),
        'vim2-token-only': ('token mixers only', (0,)),
        'vim2-mlp': ('ViM2-MLP: MLP, no averaging', (0,)),
        'vim2-scans1': ('one channel scan', (0,)),
        'vim2-scans2': ('two channel scans', (0,)),
        'vim2-no-averaging': ('no averaging', (0,)),
    },
}


class Run(NamedTuple):
    """One training."""

    suite: str
    name: str
    seed: int

    @property
    def config(self) -> str:
        return CONFIGS[self.suite].format(self.name)

    @property
    def folder(self) -> Path:
        return ROOT / 'work_dirs' / self.suite / f'{self.name}-seed{self.seed}'

    def scalars(self) -> list[dict]:
        """Return the logged lines of the newest run in the work folder."""
        logs = sorted(self.folder.glob('*/vis_data/scalars.json'))
        return [json.loads(line) for line in logs[-1].open()] if logs else []

    def accuracies(self) -> dict[int, float]:
        """Return the test accuracy in per cent after each epoch that was tested."""
        lines = self.scalars()
        return {x['step']: x['accuracy/top1'] for x in lines if 'accuracy/top1' in x}

    def epochs(self) -> int:
        return Config.fromfile(ROOT / self.config).train_cfg.max_epochs

    def parameters(self) -> int:
        """Return the number of parameters of the whole classifier."""
        init_default_scope('mmpretrain')
        model = MODELS.build(Config.fromfile(ROOT / self.config).model)
        return sum(p.numel() for p in model.parameters())

    def train(self) -> None:
        print(f'{self.name} seed {self.seed}: log in {self.folder}.log', flush=True)
        command = [sys.executable, 'tools/train.py', self.config]
        command += ['--work-dir', str(self.folder)]
        command += ['--cfg-options', f'randomness.seed={self.seed}']
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
        print(f'{self.name} seed {self.seed}: {self.accuracies()}', flush=True)


def runs(suite: str) -> list[Run]:
    return [
        Run(suite, name, seed)
        for name, (_, seeds) in RUNS[suite].items()
        for seed in seeds
    ]


def train(suite: str, jobs: int, only: list[str]) -> None:
    todo = [
        run
        for run in runs(suite)
        if (not only or run.name in only) and run.epochs() not in run.accuracies()
    ]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(Run.train, todo))


def table(suite: str) -> None:
    rows = []
    for run in runs(suite):
        top1 = run.accuracies().get(run.epochs())
        if top1 is None:
            print(f'{run.name} seed {run.seed}: no finished log', file=sys.stderr)
            continue
        rows.append(
            dict(
                config=run.config,
                network=RUNS[suite][run.name][0],
                seed=run.seed,
                epochs=run.epochs(),
                parameters=run.parameters(),
                top1=round(top1, 2),
            )
        )
    report = dict(command=f'python benchmarks/trainings.py {suite} table')
    report |= environment() | dict(threads=1, rows=rows)
    results = ROOT / 'benchmarks' / 'results' / f'{suite}.json'
    results.write_text(json.dumps(report, indent=1) + '\n')
    print('| network | parameters | top-1, each seed | mean |\n|---|--:|--:|--:|')
    for network in dict.fromkeys(row['network'] for row in rows):
        mine = [row for row in rows if row['network'] == network]
        values = [row['top1'] for row in mine]
        print(
            f'| {network} | {mine[0]["parameters"] / 1e6:.2f} M '
            f'| {", ".join(f"{v:.2f}" for v in values)} '
            f'| {sum(values) / len(values):.2f} |'
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('suite', choices=RUNS)
    parser.add_argument('action', choices=['run', 'table'])
    parser.add_argument('--jobs', type=int, default=2, help='trainings at a time')
    parser.add_argument('--only', nargs='*', default=[], metavar='NAME')
    args = parser.parse_args()
    unknown = set(args.only) - set(RUNS[args.suite])
    if unknown:
        parser.error(f'--only takes {list(RUNS[args.suite])}, got {sorted(unknown)}')
    if args.action == 'run':
        train(args.suite, args.jobs, args.only)
    else:
        table(args.suite)


if __name__ == '__main__':
    main()
