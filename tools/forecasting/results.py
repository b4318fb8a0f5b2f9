"""The file of results: what it has, and what is added to it line by line."""

import csv
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from mmmambamixer.evaluation.result_rows import read_rows

from .cells import NAMES, ROOT

RESULTS = ROOT / 'benchmarks' / 'results' / 'forecasting.csv'
COLUMNS = ('dataset', 'horizon', 'model', 'seed', 'mse', 'mae')
KEYS = 4
"""Columns, the first ones, that tell lines apart."""


class Results:
    """Errors of models by cell and seed, in a CSV file.

    Args:
        path: Of the file; made when the first line is added.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, Lock()
        self.rows = read_rows(path, COLUMNS, KEYS)

    def has(self, cell: str, models: Iterable[str], seed: int | str) -> bool:
        """Return whether a cell has a line of each model."""
        found = {row['model'] for row in self.rows if key_of(row) == (cell, str(seed))}
        return found.issuperset(models)

    def add(self, cell: str, model: str, seed: int | str, metrics: dict, prefix: str):
        """Add a line at once, unless it is there.

        Args:
            cell: The cell.
            model: The model.
            seed: Of the training; '-' for none.
            metrics: What an evaluator gave.
            prefix: Beginning of the names in it, such as 'forecast' of 'forecast/mse'.
        """
        if self.has(cell, [model], seed):
            return
        table, horizon = cell.rsplit('-', 1)
        errors = [f'{metrics[f"{prefix}/{error}"]:.6f}' for error in ('mse', 'mae')]
        values = (NAMES[table], horizon, model, str(seed), *errors)
        with self.lock:
            read_rows(self.path, COLUMNS, KEYS)  # another line may have failed halfway
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, 'a', newline='') as file:
                writer = csv.writer(file, lineterminator='\n')
                if not file.tell():
                    writer.writerow(COLUMNS)
                writer.writerow(values)
            self.rows.append(dict(zip(COLUMNS, values, strict=True)))
        print(','.join(values), flush=True)


def key_of(row: dict) -> tuple[str, str]:
    """Return the cell and the seed of a line."""
    return f'{row["dataset"].lower()}-{row["horizon"]}', row['seed']
