"""Tables of time series: CSV, Parquet and data frames, wide or long.

Letters in shapes: n rows, m variates.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..messages import did_you_mean, few
from .calendar import Calendar
from .columns import (
    is_time,
    numbers,
    refuse_disorder,
    refuse_repeated,
    require_column,
    texts,
)
from .dates import OWN, parsed_dates
from .extras import load_pandas

SUFFIXES = ('.csv', '.csv.gz', '.parquet')
LAYOUTS = ('wide', 'long')
DATE = 'date'
"""Name of the time column of a wide table, wherever it stands."""
IRREGULAR = '; `irregular=True` takes rows as they stand'
"""Hint for those that have this option."""
LONG = "; a table with a row for each series and date is of layout='long'"


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """Variates over time.

    Args:
        values: In their own units, NaN where one is missing, `(n, m)` float64.
        dates: `(n,)` datetime64[ns].
        variates: The m names, in the order of the table.
        irregular: Whether the rows are taken as they stand, by no calendar.
        clock: That the dates are taken by; None where they have no time zone.
        calendar: That the dates lie on; None where it is not known yet.
    """

    values: NDArray
    dates: NDArray
    variates: tuple[str, ...]
    irregular: bool = False
    clock: str | None = None
    calendar: Calendar | None = None

    def __repr__(self) -> str:  # a config that holds a table is written as Python
        return f'SeriesTable(rows={len(self)}, variates={len(self.variates)})'

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
                    f'{few(self.variates)}{did_you_mean(name, places)}'
                )
        columns = [places[name] for name in variates]
        values = self.values[:, columns]
        return replace(self, values=values, variates=tuple(variates))

    def empty_rows(self) -> NDArray:
        """Return which rows hold no value, as inserted ones, `(n,)` bool."""
        return np.isnan(self.values).all(axis=1)

    @property
    def step(self) -> np.timedelta64:
        """Time from row to row: the most frequent one.

        Raises:
            ValueError: If there is only one row.
        """
        if len(self) < 2:
            raise ValueError('the table must have at least 2 rows, got 1')
        steps, counts = np.unique(np.diff(self.dates), return_counts=True)
        return steps[counts.argmax()]


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
        irregular: Take rows as they stand, where a date comes twice (in a wide table)
            or the dates follow no calendar.
        id: Column of a long table that names the series.
        time: Its column of dates.
        value: Its column of values.

    Raises:
        ValueError: If the file is no such table; the message names file, expectation
            and what is there.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be 'wide' or 'long', got {layout!r}")
    frame = read_frame(path)
    if layout == 'wide':
        return from_frame(
            frame,
            source=str(path),
            irregular=irregular,
            hint=IRREGULAR,
            long_hint=LONG,
        )
    tell_unread(frame, (id, time, value), str(path))
    table = from_long(frame, id=id, time=time, value=value, source=str(path))
    return replace(table, irregular=irregular)


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
        raise ValueError(f'{path}: a table must be a file in {", ".join(SUFFIXES)}')
    packed = path.with_name(f'{path.name}.gz')
    if path.suffix == '.csv' and not path.is_file() and packed.is_file():
        path = packed
    if not path.is_file():
        raise FileNotFoundError(f'there is no table at {path}')
    pandas = load_pandas()
    try:
        if path.suffix == '.parquet':
            return pandas.read_parquet(path)
        header = pandas.read_csv(path, header=None, nrows=1, dtype=str)
        frame = pandas.read_csv(path)
    except pandas.errors.EmptyDataError as error:
        raise ValueError(
            f'{path}: the file is empty; a table needs a header and rows'
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: the file is not text in UTF-8 ({error}): save it as UTF-8'
        ) from error
    except (ValueError, OSError, EOFError) as error:
        told = str(error).strip().splitlines()[0]
        raise ValueError(f'{path}: the table cannot be read: {told}') from error
    # pandas has given a repeated column a name of its own
    refuse_repeated([str(name) for name in header.iloc[0]], str(path))
    return frame


def from_frame(
    frame,
    *,
    irregular: bool = False,
    source: str = 'the frame',
    hint: str = '',
    long_hint: str = '',
    clock: str | None = OWN,
) -> SeriesTable:
    """Return the table of a wide data frame.

    Args:
        frame: Its dates are the column `date`, or a DatetimeIndex, or the only column
            whose type is that of dates, or else the first column; all other columns are
            variates.
        irregular: Take the rows as they stand, where a date comes twice.
        source: What the error messages call it.
        hint: What they add where a date comes twice.
        long_hint: What they add where that may be because the frame is a long one.
        clock: To take the dates by, such as that of another table; see `parsed_dates`.

    Raises:
        ValueError: As `read_table`.
    """
    names = [str(name) for name in frame.columns]
    refuse_repeated(names, source)
    place = date_column(frame)
    if place is None:
        dates = frame.index.to_series()
    elif not names:
        raise ValueError(f'{source}: the table has no columns')
    else:
        dates = frame.iloc[:, place]
    columns = [column for column in range(len(names)) if column != place]
    if not columns:
        raise ValueError(
            f'{source}: the table has no column beside that of its dates: it needs at '
            'least one variate'
        )
    if not len(frame):
        raise ValueError(f'{source}: the table is empty, it has no rows')
    dates, kept, clock = parsed_dates(dates, source, clock)
    dates = dates[kept]
    refuse_disorder(dates, irregular, source, (hint, long_hint))
    values = [numbers(frame.iloc[:, column], source)[kept] for column in columns]
    names = [names[column] for column in columns]
    table = checked(np.stack(values, axis=1), dates, names, source)
    return replace(table, irregular=irregular, clock=clock)


def date_column(frame) -> int | None:
    """Return the place of a wide frame's dates, or None if they are its index."""
    pandas = load_pandas()
    names = [str(name) for name in frame.columns]
    if DATE in names:
        return names.index(DATE)
    if isinstance(frame.index, (pandas.DatetimeIndex, pandas.PeriodIndex)):
        return None
    dated = [n for n, kind in enumerate(frame.dtypes) if is_time(kind)]
    return dated[0] if len(dated) == 1 else 0


def tell_unread(frame, read: Sequence[str], source: str) -> None:
    """Warn of the columns of a long frame that nothing reads."""
    unread = [column for column in frame.columns if column not in read]
    if unread:
        warnings.warn(
            f'{source}: only the columns {few(read)} of a long table are read; '
            f'{few(unread)} are ignored: give covariates in a table of their own, with '
            '`future` or `static`',
            stacklevel=4,
        )


def from_long(
    frame,
    *,
    id: str = 'unique_id',
    time: str = 'ds',
    value: str = 'y',
    source: str = 'the frame',
    clock: str | None = OWN,
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
        clock: To take the dates by; see `parsed_dates`.

    Raises:
        ValueError: If a column is missing, or a series has two rows of one time; else
            as `read_table`.
    """
    for name in (id, time, value):
        require_column(name, frame.columns, source)
    if not len(frame):
        raise ValueError(f'{source}: the table is empty, it has no rows')
    dates, kept, clock = parsed_dates(frame[time], source, clock)
    frame, dates = frame[kept], dates[kept]
    values = numbers(frame[value], source)
    pandas = load_pandas()
    series, names = pandas.factorize(frame[id])
    if (series < 0).any():
        row = int((series < 0).argmax()) + 1
        raise ValueError(
            f'{source}: row {row} names no series in column {id!r}: fill it in or '
            'remove the row'
        )
    unique, rows = np.unique(dates, return_inverse=True)
    cells = rows * len(names) + series
    found, first, counts = np.unique(cells, return_index=True, return_counts=True)
    if len(found) < len(cells):
        again = first[(counts > 1).argmax()]
        raise ValueError(
            f'{source}: the series {frame[id].iloc[again]!r} has two rows at '
            f'{dates[again]}: keep one of them'
        )
    names = texts(names, id, source)
    wide = np.full(len(unique) * len(names), np.nan)
    wide[cells] = values
    table = checked(wide.reshape(len(unique), len(names)), unique, names, source)
    return replace(table, clock=clock)


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
                f'{source}: column {name!r} must hold finite numbers, got '
                f'{values[row, column]} in row {row + 1}'
            )
        if np.isnan(values[:, column]).all():
            raise ValueError(
                f'{source}: column {name!r} has no value in any row: remove it'
            )
    return SeriesTable(values, dates, tuple(names))
