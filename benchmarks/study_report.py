"""Tabulate and draw the study: paired differences to the default, with intervals.

    python benchmarks/study_report.py

Reads results/study.csv, seeds that have all their runs; fills the tables of
docs/study.md and draws resources/study.png. Needs pandas.
"""

import argparse

import numpy as np
import pandas as pd
from plots import RESOURCES, ROOT, fill, markdown, plt
from scipy.stats import bootstrap, permutation_test
from study import COLUMNS, DEFAULT, NETWORKS, RESULTS, trained

from mmmambamixer.evaluation.result_rows import RowsError
from mmmambamixer.messages import one_sentence

PAGE = ROOT / 'docs' / 'study.md'
LEVEL = 0.05
KEYS = list(COLUMNS[:3])
FAMILIES = (('digits', 'eurosat'), ('spoken_digits',))
"""Data sets whose p-values are corrected together: what one plan was made for."""


def read_runs() -> pd.DataFrame:
    """Return the runs of all seeds that are complete."""
    trained()  # refuses rows that are not whole, or there twice
    runs = pd.read_csv(RESULTS)
    networks = sum(map(len, NETWORKS.values())) * runs.dataset.nunique()
    return runs[runs.groupby('seed').network.transform('size') == networks]


def differences(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a row for each comparison, data set and network but the default.

    Its columns are those of `describe`, and the p-value after Holm's correction over
    all rows of the family, `p_holm`.
    """
    by_seed = runs.pivot(index='seed', columns=KEYS, values=measure)
    rows = {
        key: describe(by_seed[key] - by_seed['parameters', key[1], DEFAULT])
        for key in by_seed
        if key[2] != DEFAULT
    }
    table = pd.DataFrame.from_dict(rows, orient='index')
    table.index = pd.MultiIndex.from_tuples(table.index, names=KEYS)
    for family in FAMILIES:
        rows = table.index.isin(family, level='dataset')
        table.loc[rows, 'p_holm'] = holm(table.p[rows].to_numpy())
    return table


def describe(pairs: pd.Series) -> dict[str, float]:
    """Return mean, interval `low` to `high` and p-value of paired differences."""
    data, seeded = (pairs.to_numpy(),), dict(rng=np.random.default_rng(0))
    interval = bootstrap(data, np.mean, confidence_level=1 - LEVEL, **seeded)
    signs = permutation_test(
        data, np.mean, permutation_type='samples', n_resamples=100_000, **seeded
    )
    low, high = interval.confidence_interval
    return dict(mean=pairs.mean(), low=low, high=high, p=signs.pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values after Holm's correction for their number."""
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    corrected = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return corrected[np.argsort(order)]


def results_table(runs: pd.DataFrame) -> str:
    accuracy, loss = differences(runs, 'accuracy'), differences(runs, 'loss')
    means = runs.groupby(KEYS).mean(numeric_only=True)
    head = 'equal, data, network, parameters, accuracy, difference, p (Holm)'
    table = [[*head.split(', '), 'difference of the loss']]
    for comparison, networks in NETWORKS.items():
        for dataset in runs.dataset.unique():
            for network in networks:
                key = comparison, dataset, network
                texts = [comparison, dataset, network]
                texts += [f'{means.parameters[key]:,.0f}', f'{means.accuracy[key]:.1f}']
                if network != DEFAULT:
                    row = accuracy.loc[key]
                    p = f'{row.p_holm:.3f}'
                    texts += [span(row, 1), f'**{p}**' if row.p_holm < LEVEL else p]
                    texts += [span(loss.loc[key], 3)]
                table.append(texts + [''] * (len(table[0]) - len(texts)))
    return markdown(table, 3)


def span(row: pd.Series, digits: int) -> str:
    mean, low, high = (f'{row[name]:+.{digits}f}' for name in ('mean', 'low', 'high'))
    return f'{mean} ({low} .. {high})'


def draw(accuracy: pd.DataFrame, path) -> None:
    """Draw the differences with their intervals, a panel for each data set."""
    datasets = accuracy.index.unique('dataset')
    figure, axes = plt.subplots(
        1, len(datasets), figsize=(11, 4), sharey=True, layout='constrained'
    )
    for axis, dataset in zip(axes, datasets, strict=True):
        rows = accuracy.xs(dataset, level='dataset')
        names = [f'{network}, equal {comparison}' for comparison, network in rows.index]
        for y, row in enumerate(rows.itertuples()):
            color = 'C3' if row.p_holm < LEVEL else '0.4'
            axis.plot([row.low, row.high], [y, y], color=color, linewidth=2)
            axis.plot(row.mean, y, 'o', color=color)
        axis.axvline(0, color='k', linewidth=1)
        axis.set_yticks(range(len(names)), names)
        axis.set(title=dataset, xlabel='accuracy minus the default, points')
        axis.grid(axis='x', alpha=0.3)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with one_sentence(RowsError):
        runs = read_runs()
    draw(differences(runs, 'accuracy'), RESOURCES / 'study.png')
    tables = {
        'study': results_table(runs),
        'study, seeds': f'{runs.seed.nunique()} seeds, {len(runs)} trainings.',
    }
    PAGE.write_text(fill(PAGE.read_text(), tables))
    print(f'wrote {PAGE}')


if __name__ == '__main__':
    main()
