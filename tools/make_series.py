"""Write a year of hourly weather as a wide table, for a first forecast.

python tools/make_series.py --out data/weather_year

The table lies in the wheel of pvlib (BSD 3-Clause): station 723170, Greensboro, North
Carolina, of the typical meteorological year TMY3 (National Renewable Energy Laboratory,
public domain). Its twelve months are real, measured or modelled, and come from
different years; here they stand in a row in 2001, which no series did. pvlib is not
imported, so that what it depends on may be missing.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

NAME = '723170TYA.CSV'
COLUMNS = {
    'GHI (W/m^2)': 'radiation',
    'Dry-bulb (C)': 'temperature',
    'Dew-point (C)': 'dew_point',
    'RHum (%)': 'humidity',
    'Pressure (mbar)': 'pressure',
    'Wspd (m/s)': 'wind_speed',
    'OpqCld (tenths)': 'cloud_cover',
}
HOURS = 365 * 24


def find_table() -> Path:
    """Return the path of the table.

    Raises:
        FileNotFoundError: If pvlib is not installed, or lacks it.
    """
    spec = find_spec('pvlib')
    folders = [] if spec is None else spec.submodule_search_locations
    for folder in folders:
        if (path := Path(folder) / 'data' / NAME).is_file():
            return path
    raise FileNotFoundError(
        f'{NAME} comes with pvlib, which is not here: pip install --no-deps pvlib'
    )


def read_year(path: Path) -> pd.DataFrame:
    """Return the columns of `COLUMNS` by hour; the source names the end of each.

    Raises:
        ValueError: If the table is not a whole year of numbers.
    """
    frame = pd.read_csv(path, skiprows=1, usecols=list(COLUMNS)).rename(columns=COLUMNS)
    frame = frame[list(COLUMNS.values())]
    if len(frame) != HOURS or not np.isfinite(frame.to_numpy(np.float64)).all():
        raise ValueError(
            f'{path} must hold {HOURS} rows of finite numbers, one an hour'
        )
    dates = pd.date_range('2001-01-01', periods=HOURS, freq='h')
    frame.insert(0, 'date', dates)
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the table')
    args = parser.parse_args()
    try:
        frame = read_year(find_table())
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / 'weather_year.csv'
    frame.to_csv(path, index=False)
    print(f'{path}: {len(frame)} hours, {", ".join(frame.columns[1:])}')


if __name__ == '__main__':
    main()
