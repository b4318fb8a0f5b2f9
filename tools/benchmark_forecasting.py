"""Run TSM2 and its baselines over cells (a table and a horizon) and seeds.

    python tools/benchmark_forecasting.py run [--cells etth1-96 ...] [--seeds 0 1 2]
    python tools/benchmark_forecasting.py table

`run` adds a line `dataset,horizon,model,seed,mse,mae` to the results for each of these
that has none yet, so it goes on where it was stopped. Errors are those of all test
windows, scaled. A training gives three lines:

- TSM2: the forecast of the checkpoint with the best validation;
- TSM2-paper: that of its mixers alone, which are the paper's model, from the checkpoint
  where they validate best;
- line: that of its linear path alone.

If the config `*_paper.py` of a cell has other mixers, TSM2-paper is trained by itself.
`--variants` trains ablations instead, `--baselines` computes repeat-last and ridge,
`--covariates` trains PM2.5 in Beijing (tools/prepare_beijing.py) with the weather of
the horizon and the station, and without.
`table` prints the results beside published numbers.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from mmengine.config import Config

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs' / 'tsm2'
RESULTS = ROOT / 'benchmarks' / 'results' / 'forecasting.csv'
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
TRAINED = {'TSM2': 'forecast', 'TSM2-paper': 'mixers', 'line': 'line'}
"""What a training is scored as: the prefix of its metrics."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('action', choices=('run', 'table'))
    parser.add_argument('--cells', nargs='+', choices=CELLS, metavar='TABLE-HORIZON')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--variants', action='store_true', help='train the ablations')
    parser.add_argument(
        '--baselines', action='store_true', help='repeat-last and ridge, no training'
    )
    parser.add_argument(
        '--covariates', action='store_true', help='train Beijing with and without'
    )
    parser.add_argument('--jobs', type=int, default=1, help='trainings at a time')
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/forecasting'))
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
        values = (
            NAMES[table],
            horizon,
            model,
            seed,
            f'{mse:.6f}',
            f'{mae:.6f}',
        )
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


def train_and_test(
    config: Path, folder: Path, options: dict, tests: dict[str, str]
) -> dict[str, dict[str, float]]:
    """Train a config and test its best checkpoints, each in a process of its own.

    Args:
        config: File.
        folder: Of the run; a finished training in it is not repeated.
        options: For `--cfg-options`.
        tests: Beginning of the name of a best checkpoint, by what asks for it.

    Returns:
        The metrics of each test.

    Raises:
        RuntimeError: If a process fails; the message names its log.
    """
    given = [f'{key}={value}' for key, value in options.items()]
    finished = folder / 'finished'
    if not finished.exists():
        call(
            'train.py', config, folder, ['--work-dir', folder, '--cfg-options', *given]
        )
        finished.touch()
    results = {}
    for name, start in tests.items():
        (checkpoint,) = folder.glob(f'{start}_epoch_*.pth')
        out = folder / f'{name}.json'
        arguments = [checkpoint, '--work-dir', folder / 'test']
        arguments += ['--out', out, '--out-item', 'metrics', '--cfg-options', *given]
        call('test.py', config, folder, arguments)
        results[name] = json.loads(out.read_text())
    return results


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


def same_mixers(config: Path, paper: Path) -> bool:
    """Return whether two configs differ in the linear path of the model at most."""
    models = [dict(Config.fromfile(path).model) for path in (config, paper)]
    for model in models:
        model.pop('linear_path', None)
    return models[0] == models[1]


def run_cell(results: Results, cell: str, seed: int, work_dir: Path) -> None:
    """Train and test TSM2 in one cell with one seed."""
    config, paper = CONFIGS / f'tsm2_{cell}.py', CONFIGS / f'tsm2_{cell}_paper.py'
    together = same_mixers(config, paper)
    models = ['TSM2', 'line', *(['TSM2-paper'] if together else [])]
    options = {'randomness.seed': seed}
    if not results.has(cell, models, seed):
        tests = {'TSM2': 'best_blend_mse', 'TSM2-paper': 'best_blend_mixers_mse'}
        found = train_and_test(config, work_dir / f'{cell}-{seed}', options, tests)
        found['line'] = found['TSM2']
        for model in models:
            add(results, cell, model, seed, found[model], TRAINED[model])
    if not together and not results.has(cell, ['TSM2-paper'], seed):
        folder = work_dir / f'{cell}-{seed}-paper'
        tests = {'TSM2-paper': 'best_forecast_mse'}
        found = train_and_test(paper, folder, options, tests)
        add(results, cell, 'TSM2-paper', seed, found['TSM2-paper'], 'forecast')


def run_variant(
    results: Results, cell: str, seed: int, variant: str, work_dir: Path
) -> None:
    """Train and test an ablation: the blend, and its mixers alone."""
    models = (variant, f'{variant}, mixers')
    if results.has(cell, models, seed):
        return
    folder = work_dir / f'{cell}-{seed}-{variant.replace(" ", "-")}'
    options = {'randomness.seed': seed, **VARIANTS[variant]}
    tests = {'blend': 'best_blend_mse', 'mixers': 'best_blend_mixers_mse'}
    config = CONFIGS / f'tsm2_{cell}.py'
    found = train_and_test(config, folder, options, tests)
    add(results, cell, models[0], seed, found['blend'], 'forecast')
    add(results, cell, models[1], seed, found['mixers'], 'mixers')


def run_covariates(
    results: Results, cell: str, seed: int, model: str, work_dir: Path
) -> None:
    """Train and test TSM2 on Beijing with or without covariates."""
    if results.has(cell, [model], seed):
        return
    end = COVARIATES[model]
    found = train_and_test(
        CONFIGS / f'tsm2_{cell}{end}.py',
        work_dir / f'{cell}-{seed}{end}',
        {'randomness.seed': seed},
        {'mixers': 'best_forecast_mse'},
    )
    add(results, cell, model, seed, found['mixers'], 'forecast')


def add(results: Results, cell: str, model: str, seed, metrics: dict, prefix: str):
    results.add(cell, model, seed, metrics[f'{prefix}/mse'], metrics[f'{prefix}/mae'])


def run_baselines(results: Results, cell: str, work_dir: Path) -> None:
    """Score repeat-last and ridge, one linear map for all variates, without seed."""
    from mmmambamixer.engine import SafeRunner
    from mmmambamixer.forecast.fit_linear import fit_linear_path

    for model, kind in (('repeat-last', 'RepeatLast'), ('ridge', 'LinearForecaster')):
        if results.has(cell, [model], '-'):
            continue
        config = Config.fromfile(CONFIGS / f'tsm2_{cell}.py')
        sizes = {k: config.model[k] for k in ('look_back', 'horizon', 'variates')}
        config.model = dict(type=kind, **sizes)
        config.test_evaluator = dict(type='ForecastMetric')
        config.work_dir = str(work_dir / f'{cell}-{model}')
        config.custom_hooks = config.optim_wrapper = config.param_scheduler = None
        config.train_cfg = config.val_cfg = config.val_evaluator = None
        loaders = config.train_dataloader, config.val_dataloader
        config.train_dataloader = config.val_dataloader = None
        runner = SafeRunner.from_cfg(config)
        if kind == 'LinearForecaster':
            datasets = [SafeRunner.build_dataloader(one).dataset for one in loaders]
            fit_linear_path(runner.model.linear_path, *datasets)
        add(results, cell, model, '-', runner.test(), 'forecast')


def run(args: argparse.Namespace, results: Results) -> None:
    cells = args.cells or CELLS
    if args.baselines:
        for cell in cells:
            run_baselines(results, cell, args.work_dir)
        return
    if args.covariates:
        cells = [f'beijing-{horizon}' for horizon in BEIJING_HORIZONS]
        job, models = run_covariates, [(name,) for name in COVARIATES]
    elif args.variants:
        job, models = run_variant, [(name,) for name in VARIANTS]
    else:
        job, models = run_cell, [()]
    jobs = [
        (job, cell, seed, *model, args.work_dir)
        for cell in cells
        for seed in args.seeds
        for model in models
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(job, results, *rest) for job, *rest in jobs]
    failed = [error for future in futures if (error := future.exception())]
    for error in failed:
        print(f'failed: {error}', file=sys.stderr)
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(futures)} cells failed')


def main() -> None:
    args = parse_args()
    results = Results(args.results)
    if args.action == 'run':
        run(args, results)
    else:
        from forecasting_table import print_table

        print_table(results.rows, ROOT / 'benchmarks' / 'published_forecasting.csv')


if __name__ == '__main__':
    main()
