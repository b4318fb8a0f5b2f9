"""The results as tables in Markdown, beside published numbers."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from .cells import AVERAGED, ROOT
from .trainings import COVARIATES

PUBLISHED = ROOT / 'benchmarks' / 'published_forecasting.csv'
OURS = ('repeat-last', 'ridge', 'line', 'TSM2-paper', 'TSM2')
BEFORE = ', by cell'
"""End of the names of models whose recipe was chosen for each table and horizon."""
MEAN = 'mean of ETT and Weather'
Cell = tuple[str, int]
Errors = dict[tuple[str, int, str], dict[str, float]]
"""Squared errors by seed, for each table, horizon and model."""


def print_tables(rows: list[dict]) -> None:
    """Print test MSE of each cell: mean over seeds, and half the range behind it.

    Args:
        rows: Of the results file.
    """
    ours: Errors = defaultdict(dict)
    for row in rows:
        cell = row['dataset'], int(row['horizon'])
        ours[(*cell, row['model'])][row['seed']] = float(row['mse'])
    with open(PUBLISHED, newline='') as file:
        published = list(csv.DictReader(file))
    cells = [(row['dataset'], int(row['horizon'])) for row in published]
    cells = list(dict.fromkeys(cells))
    print_ours(ours, cells)
    print_published(ours, cells, published)
    print_variants(ours)
    print_covariates(ours)


def print_ours(ours: Errors, cells: list[Cell]) -> None:
    """Print what is measured here, and of how many seeds TSM2 is."""
    names = (f'TSM2{BEFORE}', *OURS)
    lines = {
        name_of(cell): [
            str(len(ours.get((*cell, 'TSM2'), ()))),
            *(spread(ours.get((*cell, name))) for name in names),
        ]
        for cell in cells
    }
    averaged = [cell for cell in cells if cell[0] in AVERAGED]
    lines[MEAN] = ['', *(mean_of(ours, averaged, name) for name in names)]
    print_lines(('seeds', *names), lines)


def print_published(ours: Errors, cells: list[Cell], published: list[dict]) -> None:
    """Print TSM2 beside what others published, '-' where they have no number."""
    names = list(dict.fromkeys(row['model'] for row in published))
    theirs = {
        (row['dataset'], int(row['horizon']), row['model']): float(row['mse'])
        for row in published
    }
    lines = {
        name_of(cell): [
            *(
                f'{theirs[key]:.3f}' if (key := (*cell, name)) in theirs else '-'
                for name in names
            ),
            spread(ours.get((*cell, 'TSM2'))),
        ]
        for cell in cells
    }
    averaged = [cell for cell in cells if cell[0] in AVERAGED]
    means = (fmean(theirs[(*cell, name)] for cell in averaged) for name in names)
    lines[MEAN] = [*(f'{mean:.4f}' for mean in means), mean_of(ours, averaged, 'TSM2')]
    print()
    print_lines((*names, 'TSM2'), lines)


def print_variants(ours: Errors) -> None:
    """Print the ablations, with their mixers alone behind, where there are any."""
    names = sorted({name for *_, name in ours if name.endswith(', mixers')})
    cells = sorted({key[:2] for key in ours if key[2] in names})
    pairs = {'TSM2': (f'TSM2{BEFORE}', f'TSM2-paper{BEFORE}')}
    pairs |= {name.removesuffix(', mixers'): None for name in names}
    lines = {
        f'{name}; mixers alone': [
            '; '.join(
                spread(ours.get((*cell, model)))
                for model in pair or (name, f'{name}, mixers')
            )
            for cell in cells
        ]
        for name, pair in pairs.items()
    }
    if cells:
        print()
        print_lines(map(name_of, cells), lines)


def print_covariates(ours: Errors) -> None:
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


def name_of(cell: Cell) -> str:
    return f'{cell[0]}-{cell[1]}'


def mean_of(ours: Errors, cells: list[Cell], model: str) -> str:
    """Return the mean of all cells, each the mean of its runs, if all were run.

    Behind it, half the range of the means of the seeds that all cells have.
    """
    found = [ours.get((*cell, model)) for cell in cells]
    if not all(found):
        return 'not complete'
    told = f'{fmean(fmean(runs.values()) for runs in found):.4f}'
    seeds = set.intersection(*map(set, found))
    means = [fmean(runs[seed] for runs in found) for seed in seeds]
    return told + half_range(means)


def spread(runs: dict[str, float] | None) -> str:
    """Return the mean of several runs, and half their range if there are several."""
    if not runs:
        return 'not run'
    return f'{fmean(runs.values()):.4f}' + half_range(list(runs.values()))


def half_range(values: list[float]) -> str:
    if len(values) < 2:
        return ''
    return f' ± {(max(values) - min(values)) / 2:.4f}'
