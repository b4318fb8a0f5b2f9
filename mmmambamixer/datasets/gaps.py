"""Rows and values that are missing."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_choice
from .calendar import (
    DAY,
    WEEK,
    Calendar,
    calendar_of,
    most_frequent,
    tell_time,
    ticks,
)
from .dates import skipped
from .table import SeriesTable

GAPS = ('warn', 'fill', 'raise')
SHOWN = 3
"""Series that a message describes; of more it tells the number."""


def fill_forward(rows: NDArray, start: NDArray | float) -> NDArray:
    """Return rows without NaN: the value before, or `start` where there is none.

    Args:
        rows: `(n, ...)`.
        start: `(...)`, for gaps at the start.
    """
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    shape = (-1, *[1] * (rows.ndim - 1))
    places = np.where(missing, -1, np.arange(len(rows)).reshape(shape))
    places = np.maximum.accumulate(places, axis=0)
    filled = np.take_along_axis(rows, places.clip(min=0), axis=0)
    return np.where(places < 0, start, filled)


def require_calendar(dates: NDArray, source: str, hint: str = '') -> Calendar:
    """Return the calendar of dates.

    Raises:
        ValueError: If they follow none; the message names the first odd date.
    """
    if len(dates) < 2:
        raise ValueError(
            f'{source}: the table must have at least 2 rows, got {len(dates)}'
        )
    calendar = calendar_of(dates)
    if calendar is None:
        steps = np.diff(dates).astype(np.int64)
        step = most_frequent(steps)
        row = int((steps != step).argmax())
        if (steps % step == 0).all():
            row = int(steps.argmax())  # regular, but for the gaps
            remedy = 'use the rows after this gap, or those before'
        else:
            remedy = 'resample the rows to equal steps'
        before, after = dates[row : row + 2].astype('datetime64[s]')
        raise ValueError(
            f'{source}: the dates follow no calendar: most come every '
            f'{tell_time(step)}, but the next after {before} is {after}, '
            f'{tell_time(int(steps[row]))} later: {remedy}{hint}'
        )
    return calendar


def insert_missing(table: SeriesTable, calendar: Calendar, rows: int) -> SeriesTable:
    """Return a table with rows of NaN at the dates that its last rows lack.

    Args:
        table: Its last rows lie on the calendar.
        calendar: Of the table.
        rows: How many of the table's rows are looked at, from the end.
    """
    recent = table.dates[-rows:]
    dates = calendar.between(*recent[[0, -1]])
    if len(dates) == len(recent):
        return table
    dates = np.concatenate([table.dates[:-rows], dates])
    values = np.full((len(dates), len(table.variates)), np.nan)
    values[np.isin(dates, table.dates)] = table.values
    return replace(table, values=values, dates=dates)


def tell_missing(before: SeriesTable, after: SeriesTable, rows: int) -> str | None:
    """Return what a table lacks, and what becomes of it, or None if it lacks nothing.

    Args:
        before: As it was read.
        after: From `insert_missing`.
        rows: Rows that are looked at, from the end of `after`.
    """
    told = []
    recent = after.dates[-rows:]
    inserted = ~np.isin(recent, before.dates)
    lacking = recent[inserted & ~skipped(recent, after.clock)]
    if len(lacking):
        told.append(
            f'{len(lacking)} of {len(recent)} rows are missing, the first at '
            f'{lacking[0].astype("datetime64[s]")}'
        )
    missing = np.isnan(after.values[-rows:])
    missing[inserted] = False
    columns = np.flatnonzero(missing.any(0))
    for column in columns[:SHOWN]:
        name, gone = after.variates[column], missing[:, column]
        line = f'{name!r} has no value in {gone.sum()} of {len(recent)} rows'
        if gone[-1] and not gone.all():
            last = recent[~gone][-1].astype('datetime64[s]')
            late = gone[::-1].argmin()
            line += (
                f', the last one at {last}, {late} before the table ends, after which '
                'all forecasts start'
            )
        told.append(line)
    if len(columns) > SHOWN:
        told.append(f'{len(columns) - SHOWN} more series have gaps')
    return '; '.join(told) or None


def without_gaps(
    table: SeriesTable, gaps: str, source: str, hint: str = ''
) -> tuple[SeriesTable, str | None]:
    """Return a table with a row at every date of its calendar, and a warning or None.

    Args:
        table: Any; its calendar is found unless it is known.
        gaps: What to do where rows or values are missing: 'warn' and 'fill' insert rows
            of NaN, 'warn' with a message; 'raise' refuses.
        source: What the message calls the table.
        hint: What it adds where the dates follow no calendar.

    Raises:
        ValueError: If the dates follow no calendar, or something is missing and may
            not be.
    """
    check_gaps(gaps)
    calendar, told = table.calendar, None
    if calendar is None:
        calendar = require_calendar(table.dates, source, hint)
        told = tell_week(calendar, table.dates, gaps, source)
    after = replace(insert_missing(table, calendar, len(table)), calendar=calendar)
    missing = judged(tell_missing(table, after, len(after)), gaps, source)
    return after, '. '.join(filter(None, (missing, told))) or None


def tell_week(calendar: Calendar, dates: NDArray, gaps: str, source: str) -> str | None:
    """Return a warning where no row tells whether weekends have rows.

    Raises:
        ValueError: If `gaps` refuses that.
    """
    last = np.diff(ticks(dates[[0, -1]]) // WEEK) == 0 and ticks(dates[-1]) % WEEK
    if getattr(calendar, 'period', 0) != DAY or not 0 < last < 5 * DAY:
        return None
    told = (
        f'{source}: all rows are of one week, Monday to Friday, which leaves open '
        'whether weekends have rows'
    )
    if gaps == 'raise':
        raise ValueError(f'{told}: give rows of two weeks')
    wanted = "that they have is assumed; rows of two weeks would tell, gaps='fill' says"
    return None if gaps == 'fill' else f'{told}: {wanted} that this is meant'


def judged(told: str | None, gaps: str, source: str) -> str | None:
    """Return the warning that `gaps` asks for, or raise the ValueError."""
    if told is None or gaps == 'fill':
        return None
    if gaps == 'raise':
        raise ValueError(
            f"{source}: {told}: add these rows, or set gaps='fill': they then count as "
            'missing, are never scored, and look-backs repeat the value before them'
        )
    return (
        f'{source}: {told}. They count as missing: never scored, and in a look-back '
        "the value before them is repeated. gaps='fill' says that this is meant, "
        "gaps='raise' refuses them"
    )


def check_gaps(gaps: str) -> None:
    """Raise ValueError unless it is something to do about gaps."""
    check_choice('gaps', gaps, GAPS)
