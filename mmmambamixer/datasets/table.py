"""Tables of time series: CSV, Parquet and data frames, wide or long.

Letters in shapes: n rows, m variates.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..messages import did_you_mean

SUFFIXES = ('.csv', '.csv.gz', '.parquet')
LAYOUTS = ('wide', 'long')
DATE = 'date'
"""Name of the time column of a wide table, wherever it stands."""


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """Variates over time.

    Args:
        values: In their own units, NaN where one is missing, `(n, m)` float64.
        dates: `(n,)` datetime64[ns].
        variates: The m names, in the order of the table.
    """

    values: NDArray
    dates: NDArray
    variates: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.dates)

    def select(self, variates: Sequence[str]) -> 'SeriesTable':
        """Return the table of some variates, in the order that is asked for.

        Raises:
            ValueError: If the table lacks one of them.
        """
        places = {name: place for place, name in enumerate(self.variates)}
        for name in variates:
            if name not in places:
                raise ValueError(
                    f'the table has no variate {name!r}, only '
                    f'{", ".join(self.variates)}{did_you_mean(name, places)}'
                )
        columns = [places[name] for name in variates]
        return SeriesTable(self.values[:, columns], self.dates, tuple(variates))

    @property
    def step(self) -> np.timedelta64:
        """Time from row to row: the most frequent one.

        Raises:
            ValueError: If there is only one row.
        """
        if len(self) < 2:
            raise ValueError('the step of a table needs 2 rows, got 1')
        steps, counts = np.unique(np.diff(self.dates), return_counts=True)
        return steps[counts.argmax()]

    def following_dates(self, count: int) -> NDArray:
        """Return the dates of the next rows, `(count,)` datetime64[ns].

        Months, quarters and other steps of the calendar are recognised by pandas from
        the last rows; else the most frequent step goes on.
        """
        pandas = load_pandas()
        recent = pandas.DatetimeIndex(self.dates[-1000:])
        with warnings.catch_warnings():
            # it will be an object instead of a string, which `date_range` takes too
            warnings.simplefilter('ignore')
            frequency = pandas.infer_freq(recent) if len(recent) > 2 else None
        if frequency is None:
            return self.dates[-1] + self.step * np.arange(1, count + 1)
        following = pandas.date_range(recent[-1], periods=count + 1, freq=frequency)
        return following[1:].to_numpy('datetime64[ns]')


def load_pandas():
    """Return the module pandas.

    Raises:
        ModuleNotFoundError: If it is not installed; the message names the extra.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != 'pandas':
            raise
        raise ModuleNotFoundError(
            'tables of time series are read with pandas: install '
            '`mmmambamixer[forecast]`',
            name='pandas',
        ) from error
    return pandas


def read_table(
    path: str | Path,
    *,
    layout: str = 'wide',
    irregular: bool = False,
    id: str = 'unique_id',
    time: str = 'ds',
    value: str = 'y',
) -> SeriesTable:
    """Read a table from a .csv, .csv.gz or .parquet file.

    Args:
        path: The file. In a wide table the column `date`, or else the first one, is the
            time, and all others are variates, in the order of the file.
        layout: 'wide', or 'long': one row for each series and time.
        irregular: Take a wide table's rows as they stand, where a date comes twice.
        id: Column of a long table that names the series.
        time: Its column of dates.
        value: Its column of values.

    Raises:
        ValueError: If the file is no such table; the message names file, expectation
            and what is there.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is 'wide' or 'long', got {layout!r}")
    frame = read_frame(path)
    if layout == 'wide':
        return from_frame(frame, irregular=irregular, source=str(path))
    return from_long(frame, id=id, time=time, value=value, source=str(path))


def read_frame(path: str | Path):
    """Return the data frame of a .csv, .csv.gz or .parquet file.

    A .csv file may also lie there packed, as .csv.gz.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, cannot be read, is empty, or names a
            column twice or not at all.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f'{path}: a table is a {", ".join(SUFFIXES)} file')
    packed = path.with_name(f'{path.name}.gz')
    if path.suffix == '.csv' and not path.is_file() and packed.is_file():
        path = packed
    if not path.is_file():
        raise FileNotFoundError(f'{path}: there is no such table')
    pandas = load_pandas()
    try:
        if path.suffix == '.parquet':
            return pandas.read_parquet(path)
        header = pandas.read_csv(path, header=None, nrows=1, dtype=str)
        frame = pandas.read_csv(path)
    except pandas.errors.EmptyDataError as error:
        raise ValueError(
            f'{path}: a table has a header and rows, got nothing'
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: a table is text in UTF-8: {error}') from error
    except (ValueError, OSError, EOFError) as error:
        told = str(error).strip().splitlines()[0]
        raise ValueError(f'{path}: the table cannot be read: {told}') from error
    # pandas has given a repeated column a name of its own
    refuse_repeated([str(name) for name in header.iloc[0]], str(path))
    return frame


def from_frame(
    frame, *, irregular: bool = False, source: str = 'the frame'
) -> SeriesTable:
    """Return the table of a wide data frame.

    Args:
        frame: Its dates are the column `date`, or a DatetimeIndex, or else the first
            column; all other columns are variates.
        irregular: Take the rows as they stand, where a date comes twice.
        source: What the error messages call it.

    Raises:
        ValueError: As `read_table`.
    """
    pandas = load_pandas()
    names = [str(name) for name in frame.columns]
    refuse_repeated(names, source)
    if DATE in names:
        place = names.index(DATE)
        dates = frame.iloc[:, place]
    elif isinstance(frame.index, pandas.DatetimeIndex):
        place, dates = None, frame.index.to_series()
    else:
        if not names:
            raise ValueError(f'{source}: a table has columns, got none')
        place, dates = 0, frame.iloc[:, 0]
    columns = [column for column in range(len(names)) if column != place]
    if not columns:
        raise ValueError(f'{source}: a table has variates beside its dates, got none')
    if not len(frame):
        raise ValueError(f'{source}: a table has rows, got none')
    dates = parsed_dates(dates, source)
    refuse_disorder(dates, irregular, source)
    values = [numbers(frame.iloc[:, column], source) for column in columns]
    return checked(
        np.stack(values, axis=1), dates, [names[column] for column in columns], source
    )


def from_long(
    frame,
    *,
    id: str = 'unique_id',
    time: str = 'ds',
    value: str = 'y',
    source: str = 'the frame',
) -> SeriesTable:
    """Return the table of a long data frame: one row for each series and time.

    Series stand in the order in which they appear first, times are sorted, and a value
    that has no row is NaN.

    Args:
        frame: The rows, in any order.
        id: Column that names the series.
        time: Column of dates.
        value: Column of values.
        source: What the error messages call it.

    Raises:
        ValueError: If a column is missing, or a series has two rows of one time; else
            as `read_table`.
    """
    for name in (id, time, value):
        require_column(name, frame.columns, source)
    if not len(frame):
        raise ValueError(f'{source}: a table has rows, got none')
    dates = parsed_dates(frame[time], source)
    values = numbers(frame[value], source)
    pandas = load_pandas()
    series, names = pandas.factorize(frame[id])
    if (series < 0).any():
        row = int((series < 0).argmax()) + 1
        raise ValueError(f'{source}: column {id!r} names a series, row {row} has none')
    unique, rows = np.unique(dates, return_inverse=True)
    cells = rows * len(names) + series
    found, first, counts = np.unique(cells, return_index=True, return_counts=True)
    if len(found) < len(cells):
        again = first[(counts > 1).argmax()]
        raise ValueError(
            f'{source}: a series has one row at a time, got two of '
            f'{frame[id].iloc[again]!r} at {dates[again]}'
        )
    wide = np.full(len(unique) * len(names), np.nan)
    wide[cells] = values
    return checked(
        wide.reshape(len(unique), len(names)), unique, [*map(str, names)], source
    )


def require_column(name: str, columns, source: str) -> None:
    """Refuse a table without a column.

    Raises:
        ValueError: If `name` is not among the columns.
    """
    if name not in columns:
        names = [str(column) for column in columns]
        raise ValueError(
            f'{source}: there is no column {name!r}, only {", ".join(names)}'
            f'{did_you_mean(name, names)}'
        )


def refuse_repeated(names: Sequence[str], source: str) -> None:
    """Refuse a header that names a column twice, or not at all behind the first."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f'{source}: a column is named once, got {name!r} twice')
        if place and (name in ('', 'nan') or name.startswith('Unnamed: ')):
            raise ValueError(f'{source}: a column has a name, number {place + 1} none')


def parsed_dates(column, source: str) -> NDArray:
    """Return a column of dates as `(n,)` datetime64[ns].

    Raises:
        ValueError: If a row has no date, or one that pandas cannot parse.
    """
    pandas = load_pandas()
    if pandas.api.types.is_numeric_dtype(column):
        raise ValueError(
            f'{source}: column {column.name!r} should hold dates such as 2020-01-31 '
            f'23:00:00, got the number {column.iloc[0]}'
        )
    if column.isna().any():
        row = int(column.isna().to_numpy().argmax()) + 1
        raise ValueError(f'{source}: row {row} has no date')
    try:
        dates = pandas.to_datetime(column, errors='coerce')
        if dates.isna().any():  # ISO dates, some with a time and some without
            dates = pandas.to_datetime(column, errors='coerce', format='ISO8601')
    except (ValueError, TypeError) as error:  # time zones that differ
        raise ValueError(f'{source}: the dates cannot be read: {error}') from error
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} should hold a date such as 2020-01-31 23:00:00, '
            f'got {column.iloc[row]!r}'
        )
    if dates.dt.tz is not None:
        raise ValueError(
            f'{source}: the dates are in the time zone {dates.dt.tz}: store them '
            'without one, in UTC'
        )
    return dates.to_numpy('datetime64[ns]')


def refuse_disorder(dates: NDArray, irregular: bool, source: str) -> None:
    """Refuse dates that go back, and dates that come twice unless `irregular`."""
    steps = np.diff(dates).astype(np.int64)
    if (steps < 0).any():
        row = int((steps < 0).argmax()) + 1
        raise ValueError(
            f'{source}: dates ascend, got {dates[row]} in row {row + 1} after '
            f'{dates[row - 1]}'
        )
    if (steps == 0).any() and not irregular:
        row = int((steps == 0).argmax()) + 1
        raise ValueError(
            f'{source}: a date has one row, got {dates[row]} in rows {row} and '
            f'{row + 1}: `irregular=True` takes rows as they stand'
        )


def numbers(column, source: str) -> NDArray:
    """Return a column as `(n,)` float64.

    Raises:
        ValueError: If it holds something else; the message names the first such row.
    """
    pandas = load_pandas()
    if not pandas.api.types.is_numeric_dtype(column):
        values = pandas.to_numeric(column, errors='coerce')
        bad = values.isna() & column.notna()
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise ValueError(
                f'{source}: column {column.name!r} should hold numbers, got '
                f'{column.iloc[row]!r} in row {row + 1}'
            )
        column = values
    return column.to_numpy(np.float64, na_value=np.nan)


def checked(
    values: NDArray, dates: NDArray, names: Sequence[str], source: str
) -> SeriesTable:
    """Return a table whose values are finite or missing, and some are there.

    Raises:
        ValueError: If a column is infinite somewhere or missing everywhere.
    """
    for column, name in enumerate(names):
        infinite = np.isinf(values[:, column])
        if infinite.any():
            row = int(infinite.argmax())
            raise ValueError(
                f'{source}: column {name!r} should hold finite numbers, got '
                f'{values[row, column]} in row {row + 1}'
            )
        if np.isnan(values[:, column]).all():
            raise ValueError(f'{source}: column {name!r} holds no value at all')
    return SeriesTable(values, dates, tuple(names))
