"""Cells (a table and a horizon), and the configs that belong to them."""

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'tsm2'
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
BEIJING_CELLS = ['beijing-24', 'beijing-96']
AVERAGED = ('ETTh1', 'ETTh2', 'ETTm1', 'ETTm2', 'Weather')
"""Tables whose cells are averaged: 20 cells."""


def cells_of(names: Iterable[str]) -> list[str]:
    """Return cells by name, each table with all its horizons."""
    found = []
    for name in names:
        found += [f'{name}-{h}' for h in HORIZONS] if name in TABLES else [name]
    return found


def config_of(cell: str, end: str = '') -> tuple[Path, dict]:
    """Return the config file of a cell, and the option that chooses the horizon."""
    table, horizon = cell.rsplit('-', 1)
    return CONFIGS / f'tsm2_{table}{end}.py', {'horizon': int(horizon)}
