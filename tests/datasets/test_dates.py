"""How dates are written, and what they are read as."""

import datetime

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets.dates import UTC, parsed_dates, read_times

DAYS = pd.date_range('2020-01-28', periods=40)
HOURS = pd.date_range('2021-10-30', periods=60, freq='h')
MONTHS = pd.date_range('2020-01-01', periods=40, freq='MS')


def read(values) -> np.ndarray:
    dates, kept, _ = parsed_dates(pd.Series(values, name='date'), 'a.csv')
    assert kept.all()
    return dates


WRITTEN = {
    'iso': (DAYS, '%Y-%m-%d'),
    'iso with T': (HOURS, '%Y-%m-%dT%H:%M:%S'),
    'compact': (HOURS, '%Y%m%dT%H%M%S'),
    'year first': (HOURS, '%Y/%m/%d %H:%M'),
    'weather stations': (DAYS, '%d.%m.%Y %H:%M:%S'),
    'day first': (DAYS, '%d/%m/%Y'),
    'month first': (DAYS, '%m/%d/%Y'),
    'day first, hours': (HOURS, '%d-%m-%Y %H:%M'),
    'month first, hours': (HOURS, '%m-%d-%Y %H:%M'),
    'day first, months': (MONTHS, '%d/%m/%Y'),
    'month first, months': (MONTHS, '%m/%d/%Y'),
    'named months': (DAYS, '%d %b %Y'),
    'month and year': (MONTHS, '%b %Y'),
    'field of time series': (HOURS[::24], '%Y/%-m/%-d %-H:%M'),
}


@pytest.mark.parametrize('form', ['%Y-%m-%d %I:%M %p', '%m/%d/%Y %I:%M%p'])
@pytest.mark.parametrize('case', [str.upper, str.lower])
def test_afternoons_are_none_of_the_night(form, case):
    dates = DAYS + pd.Timedelta(hours=13, minutes=30)
    texts = [case(date.strftime(form)) for date in dates]
    np.testing.assert_array_equal(read(texts), dates.to_numpy())


@pytest.mark.parametrize(
    'texts',
    [
        ['201105', '201106'],
        ['10:30', '11:30'],
        ['1:30 pm', '2:30 pm'],
        ['11-Jan', '11-Feb'],
        [f'31.12.{year}' for year in range(50, 65)],
        [f'01-Mar-{year}' for year in range(50, 65)],
        [f'Jan-{day:02}' for day in range(1, 32)],
        [f'{day:%b %d}' for day in DAYS],
        ['Jan', 'Feb'],
        ['1/5', '1/6'],
        ['Monday', 'Tuesday'],
        pd.Series([20110501, 20110502], dtype=object),
        pd.Series([20110501, '2011-05-02'], dtype=object),
        pd.Series([1.5, 2.5], dtype=object),
    ],
)
def test_what_is_no_whole_date_is_refused(texts):
    with pytest.raises(ValueError, match=r'a\.csv: (row 1|column)') as error:
        read(texts)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', WRITTEN)
def test_texts_are_read_in_the_order_that_fits(name):
    dates, form = WRITTEN[name]
    np.testing.assert_array_equal(read(dates.strftime(form)), dates.to_numpy())


@pytest.mark.parametrize(
    'texts',
    [
        [f'0{day}/01/2020' for day in range(1, 10)],
        [f'01.{month:02}.2021' for month in range(1, 13)],
        ['01/02/2020', '03/04/2020'],
        [f'{day:02}/01/20' for day in range(1, 32)],
        ['1-1-2020', '1-2-2020', '1-3-2020'],
    ],
)
def test_texts_of_two_meanings_are_refused(texts):
    with pytest.raises(
        ValueError, match=r'a.csv: row \d+ has the date .*which is .*or'
    ):
        read(texts)


FORMS = {
    'seconds': HOURS.astype('datetime64[s]'),
    'microseconds': HOURS.astype('datetime64[us]'),
    'objects': HOURS.astype(object),
    'periods': HOURS.to_period('h'),
    'categories': HOURS.astype(str).astype('category'),
    'days of Python': [day.date() for day in DAYS],
    'times of Python': [day.to_pydatetime() for day in DAYS],
    'arrow': pd.array(HOURS, dtype='timestamp[us][pyarrow]'),
    'UTC': HOURS.tz_localize('UTC'),
    'texts in UTC': HOURS.strftime('%Y-%m-%dT%H:%M:%SZ'),
}


@pytest.mark.parametrize('name', FORMS)
def test_dates_of_any_type_are_read(name):
    found = read(FORMS[name])
    assert found.dtype == 'datetime64[ns]'
    wanted = DAYS if 'Python' in name else HOURS
    np.testing.assert_array_equal(found, wanted.to_numpy())


def test_clocks_that_change():
    """Hours are taken in UTC, days as local."""
    hours = HOURS.tz_localize('UTC').tz_convert('Europe/Berlin')
    assert hours.tz_localize(None).has_duplicates
    np.testing.assert_array_equal(read(hours), HOURS.to_numpy())
    np.testing.assert_array_equal(
        read(DAYS.tz_localize('Europe/Berlin')), DAYS.to_numpy()
    )


@pytest.mark.parametrize(
    'dates',
    [
        ['1500-01-01', '1500-01-02'],
        ['2020-01-01', '9999-12-31'],
        [datetime.date(1066, 10, 14)],
        np.array(['2020-01-01', '2300-01-01'], 'datetime64[s]'),
        pd.period_range('1600', periods=3, freq='Y'),
    ],
)
def test_years_that_nanoseconds_do_not_reach(dates):
    with pytest.raises(ValueError, match='in the years 1678 to 2261'):
        read(dates)


YEAR = pd.date_range('2021-01-01', '2021-12-31', freq='h', tz='Europe/Berlin')
OPEN = YEAR[(YEAR.hour >= 8) & (YEAR.hour < 18)]
CLOCKS = {
    'opening hours': (OPEN, True),
    'opening hours, a month': (OPEN[:300], True),
    'opening hours with gaps': (OPEN.delete([5, 700, 1700, 1701]), True),
    'office hours': (OPEN[OPEN.weekday < 5], True),
    'twice a day': (YEAR[YEAR.hour.isin([8, 20])], True),
    'every six hours': (YEAR[YEAR.hour % 6 == 0], True),
    'hours': (YEAR, False),
    'hours with gaps': (YEAR.delete([50, 2000, 2001, 7000]), False),
    'hours of spring': (YEAR[1990:2050], False),
    'hours of winter': (YEAR[:500], False),
    'every four hours of the sun': (YEAR[::4], False),
    'a clock that never changes': (OPEN.tz_convert('Etc/GMT-1'), False),
    'no calendar': (YEAR[np.arange(0, 90) ** 2], False),
}


@pytest.mark.parametrize('name', CLOCKS)
def test_rows_by_the_clock_are_taken_by_the_clock(name):
    dates, by_the_clock = CLOCKS[name]
    wanted = dates.tz_localize(None) if by_the_clock else dates.tz_convert(None)
    np.testing.assert_array_equal(read(dates), wanted.to_numpy())
    shuffled = pd.Series(dates.repeat(2)).sample(frac=1, random_state=0)  # long
    assert (read_times(shuffled, 'a.csv').clock != UTC) == by_the_clock


@pytest.mark.parametrize(
    'name', ['opening hours', 'office hours', 'hours', 'hours of spring']
)
def test_offsets_that_differ_are_read(name):
    dates, by_the_clock = CLOCKS[name]
    wanted = dates.tz_localize(None) if by_the_clock else dates.tz_convert(None)
    for form in (
        str,
        lambda d: d.isoformat(),
        lambda d: d.strftime('%Y-%m-%d %H:%M%z'),
    ):
        np.testing.assert_array_equal(read([*map(form, dates)]), wanted.to_numpy())


def test_the_column_stays_as_it_is():
    column = pd.Series(HOURS.astype('datetime64[ns]'))
    parsed_dates(column, 'x')[0][:] = np.datetime64('2000-01-01')
    assert (column == HOURS).all()
