"""Run TSM2 and its baselines over cells (a table and a horizon) and seeds.

    python tools/benchmark_forecasting.py run [--cells etth1-96 ...] [--seeds 0 1 2]
    python tools/benchmark_forecasting.py table
    python tools/benchmark_forecasting.py summary CONFIG METRICS.json

`run` adds a line `dataset,horizon,model,seed,mse,mae` to the results for each of these
that has none yet, so it goes on where it was stopped. Errors are those of all test
windows, scaled. A training gives three lines:

- TSM2: the forecast of the checkpoint with the best validation;
- TSM2-paper: that of its mixers alone, which are the paper's model, from the checkpoint
  where they validate best;
- line: that of its linear path alone.

If the config `*_paper.py` of a table has other mixers, TSM2-paper is trained by itself.
`--variants` trains ablations instead, `--baselines` computes repeat-last and ridge,
`--covariates` trains PM2.5 in Beijing (tools/prepare_beijing.py) with the weather of
the horizon and the station, and without.
`table` prints the results beside published numbers. `summary` prints the errors of one
tested model, from `tools/test.py --out-item metrics`, beside repeat-last.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from threading import Lock

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import DataLoader

import mmmambamixer.patches  # noqa: F401  (registers what configs name)
from mmmambamixer.engine.config import load_config
from mmmambamixer.evaluation import ForecastMetric
from mmmambamixer.forecast.fit_linear import fit_linear_path
from mmmambamixer.messages import one_sentence
from mmmambamixer.models.forecasters import LinearForecaster, RepeatLast
from mmmambamixer.registry import DATASETS

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs' / 'tsm2'
RESULTS = ROOT / 'benchmarks' / 'results' / 'forecasting.csv'
PUBLISHED = ROOT / 'benchmarks' / 'published_forecasting.csv'
COLUMNS = ('dataset', 'horizon', 'model', 'seed', 'mse', 'mae')
TABLES = {
    'etth1': 'ETTh1',
    'etth2': 'ETTh2',
    'ettm1': 'ETTm1',
    'ettm2': 'ETTm2',
    'weather': 'Weather',
    'exchange': 'Exchange',
    'electricity': 'Electricity',
    'traffic': 'Traffic',
}
NAMES = TABLES | {'beijing': 'Beijing'}
HORIZONS = (96, 192, 336, 720)
CELLS = [f'{table}-{horizon}' for table in TABLES for horizon in HORIZONS]
VARIANTS = {
    'TSM2-MLP': {'model.variate_mixer': 'mlp'},
    'Mamba + linear time': {'model.time_mixer': 'linear', 'model.variate_scans': 1},
    'no averaging': {'model.averaging': False},
    'no 2-D norm': {'model.norm': 'token'},
}
"""Ablations, by name: what they change in a config."""
BEIJING_HORIZONS = (24, 96)
COVARIATES = {'TSM2 with covariates': '', 'TSM2 without covariates': '_alone'}
"""Models on Beijing, by name: the end of the name of their config."""
BASELINES = {'repeat-last': RepeatLast, 'ridge': LinearForecaster}
BLEND, MIXERS, ALONE = 'best_blend_mse', 'best_blend_mixers_mse', 'best_forecast_mse'
"""Beginnings of the names of the best checkpoints; the last without a linear path."""
OURS = ('repeat-last', 'ridge', 'line', 'TSM2-paper', 'TSM2')
THEIRS = ('paper', 'DUET')
MEAN = ('ETTh1', 'ETTh2', 'ETTm1', 'ETTm2', 'Weather')
"""Tables whose cells are averaged: 20 cells."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest='action', required=True)
    train = actions.add_parser('run', help='add what the results lack')
    train.add_argument('--cells', nargs='+', choices=CELLS, metavar='TABLE-HORIZON')
    train.add_argument('--seeds', type=int, nargs='+', default=[0])
    train.add_argument('--variants', action='store_true', help='train the ablations')
    train.add_argument(
        '--baselines', action='store_true', help='repeat-last and ridge, no training'
    )
    train.add_argument(
        '--covariates', action='store_true', help='train Beijing with and without'
    )
    train.add_argument('--jobs', type=int, default=1, help='trainings at a time')
    train.add_argument('--work-dir', type=Path, default=Path('work_dirs/forecasting'))
    table = actions.add_parser('table', help='print the results')
    for one in (train, table):
        one.add_argument('--results', type=Path, default=RESULTS)
    summary = actions.add_parser('summary', help='print the errors of one model')
    summary.add_argument('config', help='config file')
    summary.add_argument('metrics', type=Path, help='file that tools/test.py wrote')
    return parser.parse_args()


class Results:
    """The file of results: what it has, and what is added to it line by line.

    Args:
        path: A CSV file; made when the first line is added.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, Lock()
        self.rows = []
        if path.exists():
            with open(path, newline='') as file:
                self.rows = list(csv.DictReader(file))

    def has(self, cell: str, models: Iterable[str], seed: int | str) -> bool:
        """Return whether a cell has a line of each model."""
        found = {row['model'] for row in self.rows if key_of(row) == (cell, str(seed))}
        return found.issuperset(models)

    def add(self, cell: str, model: str, seed: int | str, mse: float, mae: float):
        """Add a line at once, unless it is there."""
        if self.has(cell, [model], seed):
            return
        table, horizon = cell.rsplit('-', 1)
        values = (NAMES[table], horizon, model, seed, f'{mse:.6f}', f'{mae:.6f}')
        with self.lock:
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, 'a', newline='') as file:
                writer = csv.writer(file, lineterminator='\n')
                if new:
                    writer.writerow(COLUMNS)
                writer.writerow(values)
            self.rows.append(dict(zip(COLUMNS, map(str, values), strict=True)))
        print(','.join(map(str, values)), flush=True)


def key_of(row: dict) -> tuple[str, str]:
    """Return the cell and the seed of a line."""
    return f'{row["dataset"].lower()}-{row["horizon"]}', row['seed']


def config_of(cell: str, end: str = '') -> tuple[Path, dict]:
    """Return the config file of a cell, and the option that chooses the horizon."""
    table, horizon = cell.rsplit('-', 1)
    return CONFIGS / f'tsm2_{table}{end}.py', {'horizon': int(horizon)}


@dataclass
class Training:
    """A config to train, and the models that its checkpoints are.

    Args:
        scores: Checkpoint and prefix of the metrics, by the model in the results.
        end: End of the config's name.
        folder: End of the name of its folder.
        changes: Further options.
    """

    scores: dict[str, tuple[str, str]]
    end: str = ''
    folder: str = ''
    changes: dict = field(default_factory=dict)


def trainings(cell: str, kind: str = 'models') -> Iterator[Training]:
    """Yield what there is to train in a cell: 'models', 'variants' or 'covariates'."""
    if kind == 'covariates':
        for name, end in COVARIATES.items():
            yield Training({name: (ALONE, 'forecast')}, end, end)
    elif kind == 'variants':
        for name, changes in VARIANTS.items():
            scores = {name: (BLEND, 'forecast'), f'{name}, mixers': (MIXERS, 'mixers')}
            yield Training(scores, '', f'-{name.replace(" ", "-")}', changes)
    else:
        ours = {'TSM2': (BLEND, 'forecast'), 'line': (BLEND, 'line')}
        if same_mixers(cell):
            yield Training(ours | {'TSM2-paper': (MIXERS, 'mixers')})
        else:
            yield Training(ours)
            yield Training({'TSM2-paper': (ALONE, 'forecast')}, '_paper', '-paper')


def same_mixers(cell: str) -> bool:
    """Return whether the two configs of a cell differ in the linear path at most."""
    models = [load_config(*config_of(cell, end)).model for end in ('', '_paper')]
    for model in models:
        model.pop('linear_path', None)
    return models[0] == models[1]


def train_and_test(
    results: Results, cell: str, seed: int, training: Training, work_dir: Path
) -> None:
    """Train a config and score its best checkpoints, each in a process of its own.

    What is finished, in the folder of the run or in the results, is not repeated.

    Raises:
        RuntimeError: If a process fails; the message names its log.
    """
    if results.has(cell, training.scores, seed):
        return
    config, options = config_of(cell, training.end)
    options |= {'randomness.seed': seed, **training.changes}
    given = ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]
    folder = work_dir / f'{cell}-{seed}{training.folder}'
    if not (folder / 'finished').exists():
        call('train.py', config, folder, ['--work-dir', folder, *given])
        (folder / 'finished').touch()
    found = {}
    for model, (best, prefix) in training.scores.items():
        (checkpoint,) = folder.glob(f'{best}_epoch_*.pth')
        epoch = checkpoint.stem.rpartition('_')[2]  # of two names it is often one
        if epoch not in found:
            out = folder / f'epoch_{epoch}.json'
            arguments = [checkpoint, '--work-dir', folder / 'test', '--out', out]
            call(
                'test.py', config, folder, [*arguments, '--out-item', 'metrics', *given]
            )
            found[epoch] = json.loads(out.read_text())
        add(results, cell, model, seed, found[epoch], prefix)


def call(tool: str, config: Path, folder: Path, arguments: list) -> None:
    """Run one of the tools on one thread; its output goes to a log in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f'{Path(tool).stem}.txt'
    command = [sys.executable, ROOT / 'tools' / tool, config, *arguments]
    threads = dict.fromkeys(
        ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1'
    )
    with open(log, 'w') as file:
        process = subprocess.run(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads},
        )
    if process.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        raise RuntimeError(f'{tool} failed on {config}, see {log}: {" ".join(last)}')


def add(results: Results, cell: str, model: str, seed, metrics: dict, prefix: str):
    results.add(cell, model, seed, metrics[f'{prefix}/mse'], metrics[f'{prefix}/mae'])


def run_baselines(results: Results, cell: str) -> None:
    """Score repeat-last and ridge, one linear map for all variates, without seed."""
    for model, kind in BASELINES.items():
        if not results.has(cell, [model], '-'):
            found, _ = score_baseline(load_config(*config_of(cell)), kind)
            add(results, cell, model, '-', found, 'forecast')


@torch.no_grad()
def score_baseline(config: Config, kind: type[nn.Module]) -> tuple[dict, int]:
    """Return the errors of a baseline on the test windows, and their number.

    Args:
        config: Of a forecaster, whose sizes and data the baseline gets.
        kind: One of `BASELINES`.
    """
    init_default_scope(config.default_scope)
    sizes = ('look_back', 'horizon', 'variates', 'targets')
    model = kind(**{key: config.model.get(key) for key in sizes})
    if kind is LinearForecaster:
        loaders = config.train_dataloader, config.val_dataloader
        fit_linear_path(
            model.linear_path, *(DATASETS.build(x.dataset) for x in loaders)
        )
    windows, metric = DATASETS.build(config.test_dataloader.dataset), ForecastMetric()
    for batch in DataLoader(windows, batch_size=128, collate_fn=default_collate):
        metric.process(None, model(**batch, mode='predict'))
    return metric.evaluate(len(windows)), len(windows)


def run(args: argparse.Namespace, results: Results) -> None:
    cells = args.cells or CELLS
    if args.baselines:
        for cell in cells:
            run_baselines(results, cell)
        return
    kind = 'variants' if args.variants else 'models'
    if args.covariates:
        kind, cells = 'covariates', [f'beijing-{h}' for h in BEIJING_HORIZONS]
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [
            pool.submit(train_and_test, results, cell, seed, training, args.work_dir)
            for cell in cells
            for seed in args.seeds
            for training in trainings(cell, kind)
        ]
    failed = [error for future in futures if (error := future.exception())]
    for error in failed:
        print(f'failed: {error}', file=sys.stderr)
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(futures)} trainings failed')


def print_table(rows: list[dict]) -> None:
    """Print test MSE of each cell: mean over seeds, and half the range behind it.

    Args:
        rows: Of the results file.
    """
    ours = defaultdict(list)
    for row in rows:
        cell = row['dataset'], int(row['horizon'])
        ours[(*cell, row['model'])].append(float(row['mse']))
    theirs = {}
    with open(PUBLISHED, newline='') as file:
        for row in csv.DictReader(file):
            cell = row['dataset'], int(row['horizon'])
            theirs[(*cell, row['model'])] = float(row['mse'])
    cells = list(dict.fromkeys(key[:2] for key in theirs))
    lines = {
        name_of(cell): [f'{theirs[(*cell, name)]:.3f}' for name in THEIRS]
        + [spread(ours.get((*cell, name))) for name in OURS]
        for cell in cells
    }
    averaged = [cell for cell in cells if cell[0] in MEAN]
    lines['mean of ETT and Weather'] = [
        f'{fmean(theirs[(*cell, name)] for cell in averaged):.4f}' for name in THEIRS
    ] + [mean_of([ours.get((*cell, name)) for cell in averaged]) for name in OURS]
    print_lines((*THEIRS, *OURS), lines)
    print_variants(ours)
    print_covariates(ours)


def print_variants(ours: dict) -> None:
    """Print the ablations, with their mixers alone behind, where there are any."""
    names = sorted({name for *_, name in ours if name.endswith(', mixers')})
    cells = sorted({key[:2] for key in ours if key[2] in names})
    pairs = [('TSM2', 'TSM2-paper')]
    pairs += [(name.removesuffix(', mixers'), name) for name in names]
    lines = {
        f'{pair[0]}; mixers alone': [
            '; '.join(spread(ours.get((*cell, name))) for name in pair)
            for cell in cells
        ]
        for pair in pairs
    }
    if cells:
        print()
        print_lines(map(name_of, cells), lines)


def print_covariates(ours: dict) -> None:
    """Print Beijing with covariates and without, where it was run."""
    cells = sorted({key[:2] for key in ours if key[0] == 'Beijing'})
    lines = {
        name_of(cell): [spread(ours.get((*cell, name))) for name in COVARIATES]
        for cell in cells
    }
    if cells:
        print()
        print_lines(COVARIATES, lines)


def print_lines(columns: Iterable[str], lines: dict[str, list[str]]) -> None:
    """Print a table in Markdown: names of the columns, and the lines by name."""
    columns = list(columns)
    print('| | ' + ' | '.join(columns) + ' |\n|--|' + '--:|' * len(columns))
    for name, told in lines.items():
        print(f'| {name} | ' + ' | '.join(told) + ' |')


def name_of(cell: tuple[str, int]) -> str:
    return f'{cell[0]}-{cell[1]}'


def mean_of(cells: list[list[float] | None]) -> str:
    """Return the mean of all cells, each the mean of its runs, if all were run."""
    return f'{fmean(map(fmean, cells)):.4f}' if all(cells) else 'not complete'


def spread(values: list[float] | None) -> str:
    """Return the mean of several runs, and half their range if there are several."""
    if not values:
        return 'not run'
    told = f'{fmean(values):.4f}'
    if len(values) > 1:
        told += f' ± {(max(values) - min(values)) / 2:.4f}'
    return told


def print_summary(config: str, path: Path) -> None:
    """Print the errors of a tested TSM2 beside repeat-last and its linear path alone.

    Args:
        config: File of the model.
        path: JSON file of its metrics; repeat-last is computed on the same windows.
    """
    tested = json.loads(path.read_text())
    naive, count = score_baseline(load_config(config), RepeatLast)
    print(f'{count} test windows, scaled values{"MSE":>15}{"MAE":>9}')
    for name, found, prefix in (
        ('repeat-last', naive, 'forecast'),
        ('ridge (its linear path alone)', tested, 'line'),
        ('TSM2', tested, 'forecast'),
    ):
        mse, mae = (found[f'{prefix}/{error}'] for error in ('mse', 'mae'))
        print(f'{name:36}{mse:9.4f}{mae:9.4f}')


def main() -> None:
    args = parse_args()
    if args.action == 'run':
        run(args, Results(args.results))
    elif args.action == 'table':
        print_table(Results(args.results).rows)
    else:
        with one_sentence():
            print_summary(args.config, args.metrics)


if __name__ == '__main__':
    main()
