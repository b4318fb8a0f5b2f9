"""Tables of forecasting results in Markdown, beside published numbers.

Printed by `tools/benchmark_forecasting.py table`.
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import fmean

OURS = ('repeat-last', 'ridge', 'line', 'TSM2-paper', 'TSM2')
THEIRS = ('paper', 'DUET')
MEAN = ('ETTh1', 'ETTh2', 'ETTm1', 'ETTm2', 'Weather')
"""Tables whose cells are averaged: 20 cells."""


def print_table(rows: list[dict], published: Path) -> None:
    """Print test MSE of each cell: mean over seeds, and half the range behind it.

    Args:
        rows: Of the results file.
        published: CSV file of others' numbers: dataset, horizon, model, mse.
    """
    ours = defaultdict(list)
    for row in rows:
        ours[row['dataset'], int(row['horizon']), row['model']].append(
            float(row['mse'])
        )
    theirs, cells = {}, []
    with open(published, newline='') as file:
        for row in csv.DictReader(file):
            cell = row['dataset'], int(row['horizon'])
            theirs[(*cell, row['model'])] = float(row['mse'])
            if cell not in cells:
                cells.append(cell)
    print('| | ' + ' | '.join((*THEIRS, *OURS)) + ' |')
    print('|--|' + '--:|' * len(THEIRS + OURS))
    for cell in cells:
        told = [f'{theirs[(*cell, name)]:.3f}' for name in THEIRS]
        told += [spread(ours.get((*cell, name))) for name in OURS]
        print(f'| {cell[0]}-{cell[1]} | ' + ' | '.join(told) + ' |')
    averaged = [cell for cell in cells if cell[0] in MEAN]
    told = [
        f'{fmean(theirs[(*cell, name)] for cell in averaged):.4f}' for name in THEIRS
    ]
    for name in OURS:
        means = [
            fmean(ours[(*cell, name)]) for cell in averaged if (*cell, name) in ours
        ]
        whole = len(means) == len(averaged)
        told.append(f'{fmean(means):.4f}' if whole else 'not complete')
    print('| mean of ETT and Weather | ' + ' | '.join(told) + ' |')
    print_variants(ours)
    print_covariates(ours)


def print_variants(ours: dict) -> None:
    """Print the ablations, with their mixers alone behind, where there are any."""
    names = sorted({name for *_, name in ours if name.endswith(', mixers')})
    cells = sorted({key[:2] for key in ours if key[2] in names})
    if not cells:
        return
    print(
        '\n| | ' + ' | '.join(f'{table}-{horizon}' for table, horizon in cells) + ' |'
    )
    print('|--|' + '--:|' * len(cells))
    pairs = [('TSM2', 'TSM2-paper')]
    pairs += [(name.removesuffix(', mixers'), name) for name in names]
    for blend, mixers in pairs:
        told = [
            f'{spread(ours.get((*cell, blend)))}; {spread(ours.get((*cell, mixers)))}'
            for cell in cells
        ]
        print(f'| {blend}; mixers alone | ' + ' | '.join(told) + ' |')


def print_covariates(ours: dict) -> None:
    """Print Beijing with covariates and without, where it was run."""
    cells = sorted({key[:2] for key in ours if key[0] == 'Beijing'})
    names = sorted({name for table, _, name in ours if table == 'Beijing'})
    if not cells:
        return
    print('\n| | ' + ' | '.join(names) + ' |\n|--|' + '--:|' * len(names))
    for cell in cells:
        told = ' | '.join(spread(ours.get((*cell, name))) for name in names)
        print(f'| {cell[0]}-{cell[1]} | {told} |')


def spread(values: list[float] | None) -> str:
    """Return the mean of several runs, and half their range if there are several."""
    if not values:
        return 'not run'
    told = f'{fmean(values):.4f}'
    if len(values) > 1:
        told += f' ± {(max(values) - min(values)) / 2:.4f}'
    return told
