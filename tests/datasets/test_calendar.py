"""Calendars: inferred from dates with and without gaps, and continued."""

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import calendar_of
from mmmambamixer.datasets.calendar import calendar_from
from mmmambamixer.datasets.gaps import require_calendar, without_gaps
from mmmambamixer.datasets.table import SeriesTable

ROWS = 180
MONTHS = pd.date_range('2000-01-01', periods=ROWS, freq='MS')
HOURS = pd.date_range('2021-01-01', periods=3000, freq='h')
DAYS = pd.date_range('2021-01-01', periods=600, freq='D')
HALF = (9, 10, 11, 12)
NAMED = (
    *('15min', 'h', '7h', 'D', '2D', 'W-SUN', '4W', 'B', 'MS', 'ME', 'QS', 'QE-JAN'),
    *('2B', '3B', '4B', 'YS', 'YE-JUN', 'SMS', 'SME', 'BMS', 'BME', 'BQE'),
    *('WOM-3FRI', 'LWOM-THU'),
)


def on_day(*days: int) -> pd.DatetimeIndex:
    """Return these days of each month, or its last one where a month is shorter."""
    found = {
        month.replace(day=min(day, month.days_in_month))
        for month in MONTHS
        for day in days
    }
    return pd.DatetimeIndex(sorted(found))


CALENDARS = {
    **{f: pd.date_range('2001-01-31', periods=ROWS, freq=f) for f in NAMED},
    **{f'day {day}': on_day(day) for day in (5, 15, 28, 29, 30, 31)},
    'ten days': on_day(1, 11, 21),
    'noon of the 15th': on_day(15) + pd.Timedelta(hours=12),
    'every other month on the 10th': on_day(10)[::2],
    'opening hours': HOURS[HOURS.hour >= 6],
    'office hours': HOURS[(HOURS.hour >= 9) & (HOURS.hour < 17) & (HOURS.weekday < 5)],
    'half hours with a break': HOURS[~HOURS.hour.isin([0, 1, 12])],
    'Monday and Thursday': DAYS[DAYS.weekday.isin([0, 3])],
    'Sunday to Thursday': DAYS[~DAYS.weekday.isin([4, 5])],
}


@pytest.mark.parametrize('gaps', [0, 1, 9])
@pytest.mark.parametrize('name', CALENDARS)
def test_dates_go_on(name, gaps):
    """Two thirds of the dates, of which some are missing, give the last third."""
    dates = CALENDARS[name].to_numpy('datetime64[ns]')
    known, coming = np.split(dates, [len(dates) * 2 // 3])
    random = np.random.default_rng(gaps)
    gone = random.choice(np.arange(1, len(known) - 1), gaps, replace=False)
    calendar = calendar_of(np.delete(known, gone))
    np.testing.assert_array_equal(calendar.after(known[-1], len(coming)), coming)
    np.testing.assert_array_equal(calendar.between(known[0], known[-1]), known)
    assert calendar_from(calendar.state()) == calendar
    assert calendar.like(calendar)


@pytest.mark.parametrize('seed', range(8))
def test_outages_are_no_opening_hours(seed):
    """Hours that are missing at random leave an hourly calendar."""
    random = np.random.default_rng(seed)
    dates = HOURS[:900].to_numpy('datetime64[ns]')
    kept = random.random(len(dates)) > 0.2
    start = random.integers(100, 700)
    kept[start : start + 60] = False
    kept[[0, -1]] = True
    calendar = calendar_of(dates[kept])
    np.testing.assert_array_equal(calendar.between(dates[0], dates[-1]), dates)


@pytest.mark.parametrize('rows', [6, 7, 8, 9, 10, 12])
@pytest.mark.parametrize('first', [4, 5, 6, 7, 8])
def test_one_weekend_tells_business_days(first, rows):
    days = pd.bdate_range(f'2021-01-0{first}', periods=rows + 6)
    hours = pd.DatetimeIndex(
        [day + pd.Timedelta(hours=h) for day in days for h in HALF]
    )
    for dates, each in ((days, 1), (hours, len(HALF))):
        dates = dates.to_numpy('datetime64[ns]')
        known, coming = np.split(dates, [rows * each])
        np.testing.assert_array_equal(
            calendar_of(known).after(known[-1], len(coming)), coming
        )


@pytest.mark.parametrize('rows', [3, 4, 5])
@pytest.mark.parametrize('first', [4, 5, 8])  # a Monday, a Tuesday, a Friday
@pytest.mark.parametrize('hours', [(0,), (12,), HALF])
def test_rows_of_one_week_leave_the_weekend_open(rows, first, hours):
    days = pd.date_range(f'2021-01-0{first}', periods=rows)
    dates = pd.DatetimeIndex([d + pd.Timedelta(hours=h) for d in days for h in hours])
    part = table(np.ones((len(dates), 2)), dates)
    _, told = without_gaps(part, 'warn', 'x')
    assert without_gaps(part, 'fill', 'x')[1] is None
    if days[-1].weekday() >= days[0].weekday() and days[-1].weekday() < 5:
        assert 'leaves open whether weekends have rows' in told
        with pytest.raises(ValueError, match='give rows of two weeks'):
            without_gaps(part, 'raise', 'x')
    else:
        assert told is None


def test_a_weekend_among_other_gaps_is_an_outage():
    hours = HOURS[: 12 * 24].to_numpy('datetime64[ns]')  # from a Friday on
    kept = np.delete(hours, slice(14, 80))
    np.testing.assert_array_equal(calendar_of(kept).between(*hours[[0, -1]]), hours)
    days = np.delete(DAYS[:10].to_numpy('datetime64[ns]'), [1, 2, 5])
    assert str(calendar_of(days)) == 'a row every day'


@pytest.mark.parametrize(
    ('one', 'other', 'alike'),
    [
        (HOURS, HOURS + pd.Timedelta(minutes=30), True),
        (on_day(15), on_day(28), True),
        (MONTHS, on_day(31), True),
        (CALENDARS['BME'], CALENDARS['BMS'], False),
        (HOURS, HOURS[::2], False),
        (CALENDARS['B'], DAYS, False),
        (MONTHS, MONTHS[::3], False),
    ],
)
def test_calendars_that_differ_by_a_shift(one, other, alike):
    first, second = (
        calendar_of(dates.to_numpy('datetime64[ns]')) for dates in (one, other)
    )
    assert first.like(second) is second.like(first) is alike


def test_few_rows():
    for dates, following in (
        (['2021-07-01', '2021-08-01', '2021-09-01'], '2021-10-01'),
        (['2021-01-31', '2021-02-28', '2021-03-31'], '2021-04-30'),
        (['2001-01-01', '2002-01-01', '2003-01-01', '2004-01-01'], '2005-01-01'),
        (['2021-07-01', '2021-07-02'], '2021-07-03'),
    ):
        dates = np.array(dates, 'datetime64[ns]')
        [found] = calendar_of(dates).after(dates[-1], 1)
        assert found == np.datetime64(following)


@pytest.mark.parametrize(
    ('dates', 'told'),
    [
        (np.cumsum(np.random.default_rng(0).integers(1, 10**15, 50)), 'resample'),
        (np.r_[0:50, 50.5:99].astype(float) * 3.6e12, 'resample'),
        (np.r_[0:30, 10**6 : 10**6 + 40] * 60 * 10**9, 'use the rows after this gap'),
    ],
)
def test_irregular_dates_are_refused(dates, told):
    dates = np.asarray(dates).astype(np.int64).astype('datetime64[ns]')
    with pytest.raises(ValueError, match=f'follow no calendar: most come .* {told}'):
        require_calendar(dates, 'a.csv')


def test_dates_end_where_nanoseconds_do():
    for freq in ('D', 'MS', 'BME'):
        dates = pd.date_range('2261-01-01', '2261-12-20', freq=freq)
        dates = dates.to_numpy('datetime64[ns]')
        calendar = calendar_of(dates)
        assert len(calendar.after(dates[-1], 2)) == 2
        with pytest.raises(ValueError, match='beyond 2262-04-11'):
            calendar.after(dates[-1], 500)


def table(values, dates=HOURS) -> SeriesTable:
    values = np.asarray(values, float)
    dates = dates[: len(values)].to_numpy('datetime64[ns]')
    return SeriesTable(values, dates, ('a', 'b'))


@pytest.mark.parametrize('seed', range(20))
def test_missing_rows_are_inserted_and_told(seed):
    random = np.random.default_rng(seed)
    whole = table(random.normal(size=(120, 2)))
    gone = random.choice(np.arange(1, 119), random.integers(1, 30), replace=False)
    part = SeriesTable(
        np.delete(whole.values, gone, 0), np.delete(whole.dates, gone), whole.variates
    )
    found, told = without_gaps(part, 'warn', 'x')
    np.testing.assert_array_equal(found.dates, whole.dates)
    assert [*np.flatnonzero(found.empty_rows())] == sorted(gone)
    kept = np.delete(found.values, gone, 0)
    np.testing.assert_array_equal(kept, part.values)
    assert f'{len(gone)} of 120 rows are missing, the first at ' in told
    assert without_gaps(part, 'fill', 'x')[1] is None
    with pytest.raises(ValueError, match=f'x: {len(gone)} of 120 rows .* gaps='):
        without_gaps(part, 'raise', 'x')


def test_series_that_end_are_told():
    values = np.ones((50, 2))
    values[40:, 1] = np.nan
    _, told = without_gaps(table(values), 'warn', 'x')
    assert "'b' has no value in 10 of 50 rows, the last one at 2021-01-02T15" in told
    assert without_gaps(table(np.ones((50, 2))), 'raise', 'x')[1] is None
    with pytest.raises(ValueError, match="gaps must be one of 'warn', 'fill', 'raise'"):
        without_gaps(table(values), 'drop', 'x')
