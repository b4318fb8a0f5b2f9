"""Dates of tables as they are written, to datetime64[ns]."""

import re
import warnings

import numpy as np
from numpy.typing import NDArray

from .calendar import calendar_of
from .extras import load_pandas

YEARS = (1678, 2261)
"""What datetime64[ns] can hold as a whole."""
ORDERS = (dict(dayfirst=False), dict(dayfirst=True), dict(yearfirst=True))
NUMBERED = re.compile(r'\s*\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2}')
"""A date without a name of the month and without the year at its begin."""
OFFSET = re.compile(r'(?<=:\d\d|\.\d\d|\d\d\d)\s?(Z|[+-]\d\d:?\d\d)$')
"""The end of a date with a time that says how far from UTC it is."""


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
    if isinstance(column.dtype, pandas.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pandas.PeriodDtype):
        column = column.dt.to_timestamp()
    try:
        dates = read_dates(column, source)
    except (ValueError, TypeError) as error:  # time zones that differ
        if str(error).startswith(source):
            raise
        raise ValueError(f'{source}: the dates cannot be read: {error}') from error
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} should hold a date such as 2020-01-31 23:00:00 '
            f'in column {column.name!r}, got {column.iloc[row]!r}'
        )
    beyond = ~dates.dt.year.between(*YEARS)
    if beyond.any():
        row = int(beyond.to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]}: the dates of a '
            f'table lie in the years {YEARS[0]} to {YEARS[1]}'
        )
    return without_zone(dates).to_numpy('datetime64[ns]', copy=True)


def read_dates(column, source: str):
    """Return a column as pandas dates, NaT where it holds something else.

    Raises:
        ValueError: If it is open which number is the day and which the month.
    """
    pandas = load_pandas()
    text = pandas.api.types.is_string_dtype(column)
    if text and NUMBERED.match(column.iloc[0]):
        return read_numbered(column, source)
    offsets = column.str.extract(OFFSET)[0] if text else column[:0]
    if offsets.nunique() and offsets.isna().any():
        row = int(offsets.isna().to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]!r} without an '
            'offset from UTC, and others have one: write it in all rows or in none'
        )
    if offsets.nunique() > 1:
        return read_offsets(column)
    dates = pandas.to_datetime(column, errors='coerce')
    if dates.isna().any():  # ISO dates, some with a time and some without
        dates = pandas.to_datetime(column, errors='coerce', format='ISO8601')
    return dates


def read_offsets(column):
    """Return dates with several offsets from UTC, in UTC or in local time."""
    pandas = load_pandas()
    utc = pandas.to_datetime(column, errors='coerce', utc=True)
    local = column.str.replace(OFFSET, '', regex=True)
    local = pandas.to_datetime(local, errors='coerce')
    if utc.isna().any() or local.isna().any():
        return utc
    return local if keeps_clock(local, utc.dt.tz_localize(None)) else utc


def read_numbered(column, source: str):
    """Return dates such as 31.01.2020 in the one order that makes dates of all rows.

    Of several orders it is the only one in which the dates ascend, or else the one in
    which they follow the simplest calendar.

    Raises:
        ValueError: If that leaves more than one.
    """
    pandas = load_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that a day comes first
        orders = [pandas.to_datetime(column, errors='coerce', **o) for o in ORDERS]
    different = []
    for dates in orders:
        if not dates.isna().any() and not any(dates.equals(d) for d in different):
            different.append(dates)
    for wrong in (lambda dates: not dates.is_monotonic_increasing, irregularity):
        if len(different) > 1:
            marks = list(map(wrong, different))
            pairs = zip(different, marks, strict=True)
            different = [dates for dates, mark in pairs if mark == min(marks)]
    if len(different) > 1:
        row = int((different[0] != different[1]).to_numpy().argmax())
        first, second = (dates.iloc[row].date() for dates in different[:2])
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]!r}, which is '
            f'{first} or {second}, and no row tells which: write dates as 2020-01-31'
        )
    return different[0] if different else min(orders, key=lambda d: d.isna().sum())


def irregularity(dates) -> float:
    """Return in how many places of a period dates come; infinity if they have gaps."""
    found = np.unique(dates.to_numpy('datetime64[ns]'))
    calendar = calendar_of(found) if len(found) > 1 else None
    if calendar is None or len(calendar.between(*found[[0, -1]])) > len(found):
        return np.inf
    return calendar.count


def without_zone(dates):
    """Return dates in UTC, or in local time where they keep to the local clock.

    Clocks that change do not move daily rows, or opening hours, in local time, nor
    hourly ones in UTC.

    Args:
        dates: A Series of pandas dates; without a time zone they stay as they are.
    """
    if dates.dt.tz is None:
        return dates
    if not is_local(dates):
        dates = dates.dt.tz_convert('UTC')
    return dates.dt.tz_localize(None)


def is_local(dates) -> bool:
    """Return whether dates of a time zone keep to the local clock.

    A clock that never changes is not worth it, unless the dates are daily.
    """
    local = dates.dt.tz_localize(None)
    if dates.dt.tz.utcoffset(None) is not None:
        return is_daily(local)
    return keeps_clock(local, dates.dt.tz_convert('UTC').dt.tz_localize(None))


def is_daily(dates) -> bool:
    """Return whether dates without a time zone all have one time of the day."""
    return (dates - dates.dt.normalize()).nunique() == 1


def keeps_clock(local, utc) -> bool:
    """Return whether dates keep to the local clock, given in local time and in UTC.

    They do if all have one time of the day, or if their calendar lacks fewer rows in
    local time than in UTC; where it lacks as many, if it has several places in a
    period, as opening hours have.
    """
    if is_daily(local):
        return True
    utc, rows = np.unique(utc.to_numpy('datetime64[ns]'), return_index=True)
    local = local.to_numpy('datetime64[ns]')[rows]
    if (np.diff(local) <= np.timedelta64(0)).any():  # the clock was set back
        return False
    calendars = [calendar_of(some) for some in (local, utc)]
    if None in calendars:
        return calendars[0] is not None
    here, there = (
        len(calendar.between(*some[[0, -1]]))
        for calendar, some in zip(calendars, (local, utc), strict=True)
    )
    return here < there or (here == there and calendars[0].count > 1)
