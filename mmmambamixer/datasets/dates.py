"""Dates of tables, and the clock that they are taken by.

A clock is None where dates have no time zone, `UTC`, or the name of a zone whose local
time they keep to: 'Europe/Berlin', 'UTC+01:00', or 'UTC+01:00 or UTC+02:00' where
dates are written with several offsets.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calendar import calendar_of
from .date_texts import read_texts
from .extras import load_pandas

YEARS = (1678, 2261)
"""What datetime64[ns] can hold as a whole."""
UTC = 'UTC'
OWN = 'own'
"""Asks for the clock that fits the dates."""
OR = ' or '
"""Between the offsets of a clock that has several."""


@dataclass(frozen=True, eq=False)
class Times:
    """Dates of a column.

    Args:
        local: As they are written, a Series without a time zone.
        utc: The same moments in UTC; None if they have no time zone.
        zone: Its name, or the offsets; None if there is none, or it has no name.
    """

    local: Any
    utc: Any = None
    zone: str | None = None

    @property
    def clock(self) -> str | None:
        """The clock by which they follow a calendar; see `keeps_clock`."""
        if self.utc is None:
            return None
        if self.zone is None:
            return UTC
        fixed = self.zone.startswith('UTC') and OR not in self.zone
        keeps = is_daily(self.local) if fixed else keeps_clock(self.local, self.utc)
        return self.zone if keeps else UTC

    def by(self, clock: str | None, source: str):
        """Return the dates by a clock; days fit every one.

        Raises:
            ValueError: If they have a time zone and the clock has none, or the other
                way round, or it is not known how the two differ.
        """
        if clock is None or self.utc is None:
            if clock is self.utc or is_daily(self.local):
                return self.local
            has, lacks = ('have', 'none') if self.utc is not None else ('lack', 'one')
            zone = self.zone or clock
            raise ValueError(
                f'{source}: the dates {has} a time zone ({zone}) and those of the '
                f'series, or of the training, have {lacks}: give it to both or to none'
            )
        if clock == UTC:
            return self.utc
        if OR not in clock:
            moments = self.utc.dt.tz_localize(UTC).dt.tz_convert(clock)
            return moments.dt.tz_localize(None)
        if self.zone and {*self.zone.split(OR)} <= {*clock.split(OR)}:
            return self.local
        raise ValueError(
            f'{source}: the dates are in {self.zone or UTC}, and those of the series, '
            f'or of the training, are local, by {clock}: give all of them one time zone'
        )


def parsed_dates(
    column, source: str, clock: str | None = OWN
) -> tuple[NDArray, NDArray, str | None]:
    """Return dates by a clock.

    Args:
        column: A Series of dates, in any form.
        source: What the error messages call it.
        clock: To take them by; `OWN` is the one that fits them.

    Returns:
        The dates, `(n,)` datetime64[ns]; which rows to keep, `(n,)` bool: of an hour
        that a clock shows twice the first alone; and the clock.

    Raises:
        ValueError: If a row has no date, one that cannot be read, or one that has no
            place on the clock.
    """
    times = read_times(column, source)
    if clock == OWN:
        clock = times.clock
    dates = times.by(clock, source)
    kept = np.ones(len(dates), bool)
    if times.utc is not None and clock != UTC:
        first = times.utc.groupby(dates.to_numpy()).transform('min')
        kept = (times.utc == first).to_numpy()
    return dates.to_numpy('datetime64[ns]', copy=True), kept, clock


def read_times(column, source: str) -> Times:
    """Return the dates of a column.

    Raises:
        ValueError: If a row has none, one that pandas cannot parse, or one that
            datetime64[ns] cannot hold.
    """
    pandas = load_pandas()
    numeric = pandas.api.types.infer_dtype(column, skipna=True)
    if numeric in NUMBERS or pandas.api.types.is_numeric_dtype(column):
        raise ValueError(
            f'{source}: column {column.name!r} must hold dates such as 2020-01-31 '
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
        if pandas.api.types.is_string_dtype(column):
            times = Times(*read_texts(column, source))
        else:
            times = zoned(pandas.to_datetime(column, errors='coerce'))
    except (ValueError, TypeError) as error:  # time zones that differ
        if str(error).startswith(source):
            raise
        raise ValueError(f'{source}: the dates cannot be read: {error}') from error
    for dates in (times.local, times.utc):
        if dates is not None:
            check_dates(dates, column, source)
    return times


NUMBERS = ('integer', 'floating', 'mixed-integer', 'mixed-integer-float', 'decimal')
"""Names that pandas has for columns with numbers in them."""


def check_dates(dates, column, source: str) -> None:
    """Raise ValueError unless all are dates that datetime64[ns] can hold."""
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise ValueError(
            f'{source}: row {row + 1} must hold a date such as 2020-01-31 23:00:00 '
            f'in column {column.name!r}, got {column.iloc[row]!r}'
        )
    beyond = ~dates.dt.year.between(*YEARS)
    if beyond.any():
        row = int(beyond.to_numpy().argmax())
        told = ': the dates of a table lie in the years {} to {}'.format(*YEARS)
        if dates.dt.year.iloc[row] == 1:  # what pandas adds to a text without one
            told = ', which says no year: write dates as 2020-01-31'
        raise ValueError(
            f'{source}: row {row + 1} has the date {column.iloc[row]}{told}'
        )


def zoned(dates) -> Times:
    """Return pandas dates, with or without a time zone."""
    if dates.dt.tz is None:
        return Times(dates)
    utc = dates.dt.tz_convert(UTC).dt.tz_localize(None)
    return Times(dates.dt.tz_localize(None), utc, zone_name(dates.dt.tz))


def zone_name(zone) -> str | None:
    """Return the name by which pandas knows a time zone, or None."""
    offset = zone.utcoffset(None)
    if offset is not None:
        minutes = round(offset.total_seconds() / 60)
        hours, minutes = divmod(abs(minutes), 60)
        sign = '-' if offset.total_seconds() < 0 else '+'
        return f'{UTC}{sign}{hours:02}:{minutes:02}' if hours or minutes else UTC
    name = getattr(zone, 'key', None) or getattr(zone, 'zone', None)
    if name is None and (match := re.search(r'zoneinfo/([\w/+-]+)', repr(zone))):
        name = match[1]  # of dateutil
    return name


def is_daily(dates) -> bool:
    """Return whether dates without a time zone all have one time of the day."""
    return (dates - dates.dt.normalize()).nunique() == 1


def keeps_clock(local, utc) -> bool:
    """Return whether dates keep to the local clock, given in local time and in UTC.

    Clocks that change do not move daily rows, or opening hours, in local time, nor
    hourly ones in UTC. Dates keep to the local clock if all have one time of the day,
    or if their calendar lacks fewer rows in local time than in UTC; where it lacks as
    many, if it has several places in a period, as opening hours have.
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


def moments(dates: NDArray, clock: str | None):
    """Return dates by a clock as pandas dates in UTC, NaT for hours that it skips.

    An hour that it shows twice is the first one.

    Args:
        dates: `(n,)` datetime64[ns].
        clock: Of one time zone.
    """
    options = dict(ambiguous=np.ones(len(dates), bool), nonexistent='NaT')
    local = load_pandas().DatetimeIndex(dates)
    return local.tz_localize(clock, **options).tz_convert(UTC)


def skipped(dates: NDArray, clock: str | None) -> NDArray:
    """Return which dates a clock skips when it is set forward, `(n,)` bool."""
    if clock is None or OR in clock:
        return np.zeros(len(dates), bool)
    return np.isnat(moments(dates, clock).to_numpy('datetime64[ns]'))
