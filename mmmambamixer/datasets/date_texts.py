"""Dates that are written as text."""

import re
import warnings

import numpy as np

from .calendar import calendar_of
from .extras import load_pandas

ORDERS = (dict(dayfirst=False), dict(dayfirst=True), dict(yearfirst=True))
NUMBERED = re.compile(r'\s*\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2}')
"""A date without a name of the month and without the year at its begin."""
MONTH = re.compile(r"\s*([A-Za-z]{3})[-/. ]?'?(\d\d)\s*")
"""A month and a year of two digits, as spreadsheets write them, or a month and day."""
LATE = 2050
"""First year that two digits do not say."""
HALF = re.compile(r'(?<=\d)\s?[ap]m\b')
"""Half of the day; pandas reads small letters as such, and takes 1 pm for 1 o'clock."""
OPEN = re.compile(r'\s*(\d{6}|T?\d{1,2}:\d\d(:\d\d(\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?)\s*')
"""Six digits, of which two or four may be the year; a time without a date."""
OFFSET = re.compile(
    r'(?<=:\d\d|\.\d\d|\d\d\d)\s?(?:Z|UTC|[+-]\d\d:?\d\d)$|(?<=:\d\d)\s?[+-]\d\d$'
)
"""The end of a date with a time that says how far from UTC it is."""


def read_texts(column, source: str) -> tuple:
    """Return dates, NaT where a text is none, and what they say of UTC.

    Args:
        column: A Series of texts.
        source: What the error messages call it.

    Returns:
        Series of dates: as they are written, and in UTC or None; and the offsets as
        text, or None.

    Raises:
        ValueError: If it is open what is the day, the month and the year, or only some
            rows have an offset from UTC.
    """
    pandas = load_pandas()
    column = column.astype(object)
    offsets = column.str.extract(f'({OFFSET.pattern})', expand=False)
    if offsets.isna().all():
        return read_local(column, source), None, None
    if offsets.isna().any():
        row = int(offsets.isna().to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]!r} without an '
            'offset from UTC, and others have one: write it in all rows or in none'
        )
    local = read_local(column.str.replace(OFFSET, '', regex=True), source)
    names = {text: offset_name(text) for text in offsets.unique()}
    minutes = offsets.map({text: minutes_of(name) for text, name in names.items()})
    utc = local - pandas.to_timedelta(minutes, 'min')
    return local, utc, ' or '.join(sorted({*names.values()}))


def offset_name(text: str) -> str:
    """Return an offset as 'UTC', or as 'UTC+01:00'."""
    digits = re.sub(r'\D', '', text).ljust(4, '0')
    sign = '-' if '-' in text else '+'
    return f'UTC{sign}{digits[:2]}:{digits[2:]}' if digits.strip('0') else 'UTC'


def minutes_of(name: str) -> int:
    """Return the minutes that an offset from `offset_name` is before UTC."""
    if name == 'UTC':
        return 0
    minutes = 60 * int(name[4:6]) + int(name[7:])
    return -minutes if name[3] == '-' else minutes


def read_local(column, source: str):
    """Return texts without an offset as dates, NaT where one is none.

    Raises:
        ValueError: If it is open what is the day, the month, the year or the century.
    """
    open_row = column.str.fullmatch(OPEN)
    if open_row.any():
        row = int(open_row.to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]!r}, which lacks a '
            'year, month or day, or leaves open which is which: write dates as '
            '2020-01-31'
        )
    column = column.str.replace(HALF, lambda half: half[0].upper(), regex=True)
    dates = read_dates(column, source)
    late = dates.dt.year >= LATE
    if late.any():
        row = int(late.to_numpy().argmax())
        if f'{dates.dt.year.iloc[row]}' not in column.iloc[row]:
            raise ValueError(
                f'{source}: row {row + 1} has the date {column.iloc[row]!r}, of which '
                'the century is open: write dates as 2020-01-31'
            )
    return dates


def read_dates(column, source: str):
    """Return texts as dates of whichever century, NaT where one is none."""
    pandas = load_pandas()
    if NUMBERED.match(column.iloc[0]):
        return read_numbered(column, source)
    if column.str.fullmatch(MONTH).all():  # else read as a day of the year 1
        months = column.str.replace(MONTH, r'\1-\2', regex=True)
        months = pandas.to_datetime(months, errors='coerce', format='%b-%y')
        if months.dt.month.nunique() > 1 and irregularity(months) < np.inf:
            return months
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that each row is read by itself
        dates = pandas.to_datetime(column, errors='coerce')
    if dates.isna().any():  # ISO dates, some with a time and some without
        dates = pandas.to_datetime(column, errors='coerce', format='ISO8601')
    return dates


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
