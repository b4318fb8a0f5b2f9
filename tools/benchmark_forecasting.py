"""Run TSM2 and its baselines over cells (a table and a horizon) and seeds.

    python tools/benchmark_forecasting.py run [--cells etth1 ettm1-96 ...] [--seeds 0 1]
    python tools/benchmark_forecasting.py table
    python tools/benchmark_forecasting.py summary CONFIG METRICS.json

`run` adds a line `dataset,horizon,model,seed,mse,mae` to the results for each of these
that has none yet, so it goes on where it was stopped; a second `run` meanwhile is
refused. Errors are those of all test windows, scaled. A training gives three lines:

- TSM2: the forecast of the checkpoint with the best validation;
- TSM2-paper: that of its mixers alone, which are the paper's model, from the checkpoint
  where they validate best;
- line: that of its linear path alone.

If the config `*_paper.py` of a table has other mixers, TSM2-paper is trained by itself.
`--variants` trains ablations instead, `--baselines` computes repeat-last and ridge,
`--covariates` trains PM2.5 in Beijing (tools/prepare_beijing.py) with the weather of
the horizon and the station, and without.
`table` prints the results, TSM2 beside published numbers, ablations and covariates.
`summary` prints the errors of one tested model, from `tools/test.py --out-item
metrics`, beside repeat-last.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forecasting.baselines import print_summary, run_baselines
from forecasting.cells import BEIJING_CELLS, CELLS, TABLES, cells_of
from forecasting.results import RESULTS, Results
from forecasting.tables import print_tables
from forecasting.trainings import train_and_test, trainings

import mmmambamixer.patches  # noqa: F401  (registers what configs name)
from mmmambamixer.evaluation.result_rows import RowsError, held
from mmmambamixer.messages import one_sentence


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest='action', required=True)
    train = actions.add_parser('run', help='add what the results lack')
    train.add_argument(
        '--cells',
        nargs='+',
        choices=[*TABLES, *CELLS],
        metavar='TABLE[-HORIZON]',
        help='tables with all their horizons, or single cells; all by default',
    )
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


def run(args: argparse.Namespace, results: Results) -> None:
    """Add what the results lack: seed after seed, each over all cells."""
    cells = cells_of(args.cells or TABLES)
    if args.baselines:
        for cell in cells:
            run_baselines(results, cell)
        return
    kind = 'variants' if args.variants else 'models'
    if args.covariates:
        kind, cells = 'covariates', BEIJING_CELLS
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [
            pool.submit(train_and_test, results, cell, seed, training, args.work_dir)
            for seed in args.seeds
            for cell in cells
            for training in trainings(cell, kind)
        ]
    failed = [error for future in futures if (error := future.exception())]
    for error in failed:
        print(f'failed: {error}', file=sys.stderr)
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(futures)} trainings failed')


def main() -> None:
    args = parse_args()
    if args.action == 'run':
        with one_sentence(RowsError), held(args.results):
            run(args, Results(args.results))
    elif args.action == 'table':
        with one_sentence(RowsError):
            results = Results(args.results)
        print_tables(results.rows)
    else:
        with one_sentence():
            print_summary(args.config, args.metrics)


if __name__ == '__main__':
    main()
