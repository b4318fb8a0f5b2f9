"""The calendar of a table: which date follows which.

A calendar is a period and the places in it that dates take: one place in an hour, five
days of a week, the hours that a shop is open, the 15th of each month, the last day of
each quarter. What else pandas has a name for (the last business day of a month, every
third Friday) is left to pandas.

Dates are `(n,)` datetime64[ns]; they ascend.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .extras import load_pandas

MONDAY = np.datetime64('1970-01-05', 'ns')
DAY = 86_400 * 10**9
WEEK = 7 * DAY
SEVERAL_WEEKS = 2 * WEEK, 3 * WEEK, 4 * WEEK
"""Periods of every second, third and fourth business day, five of them in each."""
LONGEST_MONTH = 31
LATEST = np.iinfo(np.int64).max
"""2262-04-11, the last date of datetime64[ns]."""
SEEN = 12
"""Dates in a row from which pandas names a calendar that has gaps elsewhere."""


@dataclass(frozen=True)
class Calendar:
    """Base of the calendars: what follows from their dates between two others.

    `count` is the number of places in a period, `kind` what a shift
    does not change.
    """

    @property
    def count(self) -> int:
        return 1

    @property
    def kind(self) -> tuple:
        return self.longest(), self.count

    def between(self, first: np.datetime64, last: np.datetime64) -> NDArray:
        """Return all dates from `first` to `last`, both included."""
        raise NotImplementedError

    def longest(self) -> int:
        """Return the nanoseconds in which a date comes for certain."""
        raise NotImplementedError

    def like(self, other: 'Calendar') -> bool:
        """Return whether another differs by a shift only, as 8:30 does from 8:00."""
        return type(self) is type(other) and self.kind == other.kind

    def after(self, last: np.datetime64, count: int) -> NDArray:
        """Return the next dates, `(count,)`.

        Raises:
            ValueError: If they are later than datetime64[ns] can be.
        """
        begin = int(last.astype('datetime64[ns]').astype(np.int64)) + 1
        end = min(begin + count * self.longest(), LATEST)
        found = self.between(*(np.datetime64(n, 'ns') for n in (begin, end)))[:count]
        if len(found) < count:
            raise ValueError(
                f'{count} dates after {last} are beyond {np.datetime64(LATEST, "ns")}, '
                'the last that datetime64[ns] can hold'
            )
        return found

    def state(self) -> dict:
        """Return it as plain data, for a checkpoint."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class StepCalendar(Calendar):
    """Places in a period of fixed length, such as an hour, a day or a week.

    Args:
        period: In nanoseconds.
        places: After the begin of the period, in nanoseconds. Periods are counted from
            a Monday.
    """

    period: int
    places: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.places)

    @classmethod
    def of(cls, dates: NDArray, period: int) -> 'StepCalendar':
        """Return the calendar with the places that some dates have."""
        return cls(period, tuple(np.unique(ticks(dates) % period).tolist()))

    def between(self, first, last) -> NDArray:
        first, last = ticks(first), ticks(last)
        periods = np.arange(first // self.period, last // self.period + 1)
        found = (periods[:, None] * self.period + self.places).ravel()
        found = found[(found >= first) & (found <= last)]
        return MONDAY + found.astype('timedelta64[ns]')

    def longest(self) -> int:
        return self.period

    def __str__(self) -> str:
        if self.count == 1:
            return f'a row every {tell_time(self.period)}'
        return f'{self.count} rows a {tell_time(self.period)}'


@dataclass(frozen=True)
class MonthCalendar(Calendar):
    """Days of every month, or of every so many months.

    Args:
        months: From one to the next that has dates.
        first: The first of them, counted from January 1970, below `months`.
        days: From 1; a day that a month lacks is its last one, so 31 is the month end.
        time: Of the day, in nanoseconds.
    """

    months: int
    first: int
    days: tuple[int, ...]
    time: int

    @property
    def count(self) -> int:
        return len(self.days)

    @classmethod
    def of(cls, dates: NDArray) -> 'MonthCalendar | None':
        """Return the calendar with the days of some dates; None if times differ."""
        times = np.unique(ticks(dates) % DAY)
        begun = dates.astype('datetime64[M]')
        number = begun.astype(int)
        months = int(np.gcd.reduce(np.diff(number), initial=0))
        if len(times) > 1 or not months:
            return None
        day = dates.astype('datetime64[D]') - begun.astype('datetime64[D]')
        day = day.astype(int) + 1
        at_end = day == days_in(begun)
        days = set(day[~at_end].tolist())
        # the end of February may be the 30th of a month that lacks it
        if not any(d >= day[at_end].max(initial=0) for d in days):
            days.add(LONGEST_MONTH)
        first = int(number[0]) % months
        return cls(months, first, tuple(sorted(days)), int(times[0]))

    def between(self, first, last) -> NDArray:
        begin, end = (date.astype('datetime64[M]') for date in (first, last))
        number = np.arange(begin.astype(int), end.astype(int) + 1)
        begun = number[number % self.months == self.first].astype('datetime64[M]')
        days = np.minimum(np.array(self.days), days_in(begun)[:, None]) - 1
        found = begun.astype('datetime64[D]')[:, None] + days
        found = np.unique(found).astype('datetime64[ns]')
        found += np.timedelta64(self.time, 'ns')
        return found[(found >= first) & (found <= last)]

    def longest(self) -> int:
        return (self.months + 1) * LONGEST_MONTH * DAY

    def __str__(self) -> str:
        days = ', '.join(
            'the last day' if d == LONGEST_MONTH else f'day {d}' for d in self.days
        )
        every = 'every month' if self.months == 1 else f'every {self.months} months'
        return f'{days} of {every}'


@dataclass(frozen=True)
class NamedCalendar(Calendar):
    """A calendar that pandas has a name for.

    Args:
        frequency: The name, such as 'BME' or 'WOM-3FRI'.
        time: Of the day, in nanoseconds.
    """

    frequency: str
    time: int

    @property
    def kind(self) -> tuple:
        return (self.frequency.partition('-')[0],)

    @classmethod
    def of(cls, dates: NDArray) -> 'NamedCalendar | None':
        """Return the calendar of which pandas knows the name, or None.

        Where dates are missing, stretches without a gap are tried.
        """
        starts = np.linspace(0, max(0, len(dates) - SEEN), 20).astype(int)
        parts = (dates, *(dates[i : i + SEEN] for i in np.unique(starts)))
        names = [name for name in map(named, parts) if name]
        # which pandas knows and does not infer
        weekday = load_pandas().Timestamp(dates[0]).day_name()[:3].upper()
        for name in dict.fromkeys([*names, f'LWOM-{weekday}']):
            found = cls(name, int(ticks(dates[0]) % DAY))
            dated = found.between(*dates[[0, -1]])
            if np.isin(dates, dated).all() and len(dated) <= 1.5 * len(dates):
                return found
        return None

    def between(self, first, last) -> NDArray:
        days = (date.astype('datetime64[D]') for date in (first, last))
        found = load_pandas().date_range(*days, freq=self.frequency)
        found = found.to_numpy('datetime64[ns]') + np.timedelta64(self.time, 'ns')
        return found[(found >= first) & (found <= last)]

    def longest(self) -> int:
        pandas = load_pandas()
        two = pandas.date_range('2000-01-01', periods=3, freq=self.frequency)
        return 2 * int((two[2] - two[1]).as_unit('ns').value) + WEEK

    def __str__(self) -> str:
        return f'{self.frequency!r} of pandas'


def calendar_of(dates: NDArray) -> Calendar | None:
    """Return the calendar that dates lie on, or None if they are irregular.

    The simplest of those that have at most half as many dates more as there are; equal
    steps may have as many more. One with more places must halve the number of missing
    dates and be seen for two periods: business days are not daily rows of which two
    sevenths are missing. One weekend is enough where no other row is missing.

    Args:
        dates: Two or more, each once.
    """
    found, fewest = None, len(dates) // 2
    span = int((dates[-1] - dates[0]).astype(np.int64))
    for calendar in candidates(dates):
        if found is not None and not fewest:
            break
        if span > 3 * len(dates) * calendar.longest():
            continue  # far more dates than there are
        missing = len(calendar.between(*dates[[0, -1]])) - len(dates)
        even = isinstance(calendar, StepCalendar) and calendar.count == 1
        most = fewest // 2 if found else len(dates) if even else fewest
        if missing <= most:
            found, fewest = calendar, missing
    return found or NamedCalendar.of(dates)


def candidates(dates: NDArray) -> Iterator[Calendar]:
    """Yield the calendars that dates may have, the simplest first."""
    steps = np.diff(dates).astype(np.int64)
    step, span = most_frequent(steps), int(steps.sum())
    by_month = MonthCalendar.of(dates) if step >= DAY else None
    if by_month and step >= 28 * DAY and len(dates) > 2:
        yield by_month
    if int(np.gcd.reduce(steps)) == step:
        yield StepCalendar.of(dates, step)
    for period in (DAY, WEEK):
        if step < period and 2 * period <= span:
            yield StepCalendar.of(dates, period)
    for period in SEVERAL_WEEKS if DAY < step < WEEK else ():
        every = StepCalendar.of(dates, period)
        if every.count == 5 and 3 * period <= span:
            yield every
    if step <= DAY and span < 2 * WEEK and len(np.unique(ticks(dates) // WEEK)) > 1:
        week = working_week(dates)
        if len(week.between(*dates[[0, -1]])) == len(dates):
            yield week
    if by_month and step < 28 * DAY and span >= 2 * LONGEST_MONTH * DAY:
        yield by_month


def working_week(dates: NDArray) -> StepCalendar:
    """Return the calendar with the times of day of some dates, Monday to Friday."""
    times = np.unique(ticks(dates) % DAY)
    places = np.arange(5)[:, None] * DAY + times
    return StepCalendar(WEEK, tuple(places.ravel().tolist()))


def calendar_from(state: Mapping) -> Calendar:
    """Return the calendar that `state` described."""
    kinds = {
        'period': StepCalendar,
        'months': MonthCalendar,
        'frequency': NamedCalendar,
    }
    kind = next(kinds[key] for key in kinds if key in state)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in state.items()}
    return kind(**plain)


def named(dates: NDArray) -> str | None:
    """Return pandas' name of the frequency of dates without a gap, or None."""
    pandas = load_pandas()
    if len(dates) < 3:
        return None
    with warnings.catch_warnings():
        # it will be an object instead of a string
        warnings.simplefilter('ignore')
        name = pandas.infer_freq(pandas.DatetimeIndex(dates))
    return getattr(name, 'freqstr', name)


def most_frequent(steps: NDArray) -> int:
    """Return the step that most rows have; of equals the shortest."""
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()])


def ticks(dates):
    """Return nanoseconds since a Monday."""
    return (dates - MONDAY).astype(np.int64)


def days_in(months: NDArray) -> NDArray:
    """Return how many days months have."""
    begin, end = (m.astype('datetime64[D]') for m in (months, months + 1))
    return (end - begin).astype(int)


def tell_time(nanoseconds: int) -> str:
    """Return a length of time in the largest unit that it is whole in."""
    units = (('week', WEEK), ('day', DAY), ('hour', DAY // 24), ('minute', 60 * 10**9))
    for name, unit in units:
        if nanoseconds % unit == 0:
            count = nanoseconds // unit
            return name if count == 1 else f'{count} {name}s'
    return f'{nanoseconds / 10**9:.15g} seconds'
