"""Series and covariates of different time zones meet at the same moments."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import SeriesTable, future_covariates, read_table
from mmmambamixer.datasets.gaps import without_gaps

HOUR = np.timedelta64(1, 'h')
YEAR = pd.date_range('2021-01-02', '2021-12-30', freq='h', tz='Europe/Berlin')
SERIES = {
    'opening hours': YEAR[(YEAR.hour >= 8) & (YEAR.hour < 18)],
    'days': YEAR[YEAR.hour == 0],
    'days at noon': YEAR[YEAR.hour == 12],
    'hours': YEAR,
    'hours of a month': YEAR[:700],
    'nights': YEAR[(YEAR.hour < 5) & (YEAR.day_of_year < 280)],
}
ZONES = ('Europe/Berlin', 'UTC', 'America/New_York', 'Asia/Kolkata', '+03:00')


def written(dates: pd.DatetimeIndex) -> list[str]:
    return [date.isoformat() for date in dates]


def write(path, **columns) -> str:
    pd.DataFrame(columns).to_parquet(path)
    return str(path)


def covariate(path, table: SeriesTable, dates=None, **more) -> np.ndarray:
    source = dict(path=path, columns=['x'], **more)
    dates = table.dates if dates is None else dates
    args = ([source], dates, table.variates, HOUR)
    return future_covariates(*args, clock=table.clock).values[:, 0, 0]


@pytest.mark.parametrize(('name', 'zone'), [*product(SERIES, ZONES)])
@pytest.mark.parametrize('layout', ['wide', 'long'])
def test_covariates_of_another_zone(name, zone, layout, tmp_path):
    """Their value is the moment that it belongs to."""
    dates = SERIES[name]
    table = read_table(write(tmp_path / 'a.parquet', date=dates, a=1.0))
    hours = YEAR.tz_convert(zone)
    columns = dict(date=hours, x=YEAR.as_unit('s').asi8)
    if layout == 'long':
        columns = dict(ds=hours, x=columns['x'], unique_id='a')
    path = write(tmp_path / 'x.parquet', **columns)
    found = covariate(path, table, layout=layout)
    np.testing.assert_array_equal(found, dates.as_unit('s').asi8)


@pytest.mark.parametrize('name', ['opening hours', 'days', 'hours', 'hours of a month'])
@pytest.mark.parametrize('part', [slice(None), slice(100, 600)])
def test_covariates_with_offsets(name, part, tmp_path):
    """In CSV files, of all of the year and of one season."""
    dates = SERIES[name]
    path = tmp_path / 'a.csv'
    pd.DataFrame(dict(date=written(dates), a=1.0)).to_csv(path, index=False)
    table = read_table(path)
    hours = YEAR[YEAR.hour == 0] if name == 'days' else YEAR
    hours = hours[: hours.get_loc(dates[part][-1]) + 1]
    columns = dict(date=written(hours), x=hours.as_unit('s').asi8)
    pd.DataFrame(columns).to_csv(tmp_path / 'x.csv', index=False)
    found = covariate(tmp_path / 'x.csv', table, table.dates[part])
    np.testing.assert_array_equal(found, dates[part].as_unit('s').asi8)


NAIVE = YEAR.tz_localize(None)[:500]
LOCAL = SERIES['opening hours']


@pytest.mark.parametrize(
    ('dates', 'known', 'told'),
    [
        (NAIVE, YEAR[:500], r'have a time zone \(Europe/Berlin\) .* have none'),
        (NAIVE, written(YEAR[:500]), r'have a time zone \(UTC\+01:00\) .* have none'),
        (YEAR[:500], NAIVE, r'lack a time zone \(UTC\) .* have one'),
        (LOCAL, NAIVE, r'lack a time zone \(Europe/Berlin\) .* have one'),
        (written(LOCAL), YEAR, 'are in Europe/Berlin, .* one time zone'),
        (written(LOCAL), YEAR.tz_convert('UTC'), r'are in UTC, .* UTC\+01:00 or UTC'),
    ],
)
def test_what_cannot_be_compared_is_refused(dates, known, told, tmp_path):
    table = read_table(write(tmp_path / 'a.parquet', date=dates, a=1.0))
    path = write(tmp_path / 'x.parquet', date=known, x=1.0)
    with pytest.raises(ValueError, match=f'x.parquet: the dates {told}') as error:
        covariate(path, table)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('zone', [None, 'Europe/Berlin', 'UTC'])
@pytest.mark.parametrize('other', [None, 'Europe/Berlin', 'UTC'])
def test_days_are_days_with_and_without_a_zone(zone, other, tmp_path):
    days = pd.date_range('2021-01-01', periods=300)
    dates, known = days.tz_localize(zone), days.tz_localize(other)
    table = read_table(write(tmp_path / 'a.parquet', date=dates, a=1.0))
    path = write(tmp_path / 'x.parquet', date=known, x=range(300))
    if None not in (zone, other) and zone != other:
        with pytest.raises(ValueError, match='a row for every date of the series'):
            covariate(path, table)
    else:
        np.testing.assert_array_equal(covariate(path, table), range(300))


def test_an_hour_that_the_clock_skips_is_not_missing(tmp_path):
    table = read_table(write(tmp_path / 'a.parquet', date=SERIES['nights'], a=1.0))
    assert table.clock == 'Europe/Berlin'
    table, told = without_gaps(table, 'warn', 'x')
    assert told is None
    [row] = np.flatnonzero(table.empty_rows())
    assert str(table.dates[row]).startswith('2021-03-28T02')
    path = write(tmp_path / 'x.parquet', date=YEAR, x=1.0)
    assert np.isnan(covariate(path, table)).sum() == 1
