"""Turn the long table of Beijing's air quality into files that `SeriesDataset` reads.

    python tools/prepare_beijing.py beijing_multisite_long.csv.gz data/beijing

writes `pm25.csv`, one column of PM2.5 a station, and `weather.csv`, a long table of
what is taken as known of the future: TEMP, PRES, DEWP, RAIN, WSPM, and the direction of
the wind, a text of 16 points of the compass, as `wd_sin` and `wd_cos`.

The input is data set 501 of the UCI Machine Learning Repository (Chen 2019), its
stations one below the other: date, station, pollutants, weather, wd.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from mmmambamixer.datasets import from_long
from mmmambamixer.datasets.columns import require_column
from mmmambamixer.datasets.extras import load_pandas
from mmmambamixer.datasets.table import read_frame

POINTS = [
    'N',
    'NNE',
    'NE',
    'ENE',
    'E',
    'ESE',
    'SE',
    'SSE',
    'S',
    'SSW',
    'SW',
    'WSW',
    'W',
    'WNW',
    'NW',
    'NNW',
]
WEATHER = ('TEMP', 'PRES', 'DEWP', 'RAIN', 'WSPM')


def wind(points) -> dict:
    """Return sine and cosine of points of the compass, NaN where there is none.

    Raises:
        ValueError: If a point is not one of the 16.
    """
    unknown = set(points.dropna()) - set(POINTS)
    if unknown:
        raise ValueError(f'wd is one of {", ".join(POINTS)}, got {min(unknown)!r}')
    turns = {point: 2 * np.pi * place / 16 for place, point in enumerate(POINTS)}
    angles = points.map(turns).astype(float)
    return dict(wd_sin=np.sin(angles).round(6), wd_cos=np.cos(angles).round(6))


def convert(source: Path, folder: Path) -> None:
    """Write both files.

    Raises:
        ValueError: If the table lacks a column.
    """
    frame = read_frame(source)
    for name in ('date', 'station', 'PM2.5', 'wd', *WEATHER):
        require_column(name, frame.columns, str(source))
    folder.mkdir(parents=True, exist_ok=True)
    pandas = load_pandas()
    table = from_long(
        frame, id='station', time='date', value='PM2.5', source=str(source)
    )
    wide = pandas.DataFrame(table.values, columns=list(table.variates))
    wide.insert(0, 'date', table.dates)
    wide.to_csv(folder / 'pm25.csv', index=False)

    weather = frame[['station', 'date', *WEATHER]].assign(**wind(frame['wd']))
    weather = weather.rename(columns=dict(station='unique_id', date='ds'))
    weather.to_csv(folder / 'weather.csv', index=False)
    print(f'{folder}: {len(wide)} rows, {len(table.variates)} stations')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='the long table, .csv or .csv.gz')
    parser.add_argument('folder', type=Path, help='where the two files go')
    args = parser.parse_args()
    try:
        convert(args.source, args.folder)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
