"""A trained forecaster takes tables of the calendar that it was trained on."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import SeriesDataset, SeriesTable
from mmmambamixer.forecast.trained import TrainedForecaster, sources_of
from mmmambamixer.models.forecasters.tsm2 import TSM2

ROWS, LOOK_BACK, HORIZON = 150, 12, 8
HOURS = pd.date_range('2021-01-01', periods=600, freq='h')
MONTHS = pd.date_range('2000-01-01', periods=200, freq='MS')
CALENDARS = {
    **{
        freq: pd.date_range('2004-01-31', periods=200, freq=freq)
        for freq in ('min', 'h', 'D', 'B', 'W-TUE', 'MS', 'ME', 'QE', 'SME', 'BME')
    },
    'day 15': MONTHS + pd.Timedelta(days=14),
    'day 28': MONTHS + pd.Timedelta(days=27),
    'opening hours': HOURS[HOURS.hour >= 8],
    'office hours': HOURS[(HOURS.weekday < 5) & (HOURS.hour >= 8) & (HOURS.hour < 20)],
}


def table(dates, rows=ROWS, names=('a', 'b')) -> SeriesTable:
    dates = dates[:rows].to_numpy('datetime64[ns]')
    values = np.random.default_rng(0).normal([5, 10], 1, (len(dates), 2))
    return SeriesTable(values, dates, names)


def without(found: SeriesTable, *rows: int) -> SeriesTable:
    values, dates = (np.delete(x, rows, 0) for x in (found.values, found.dates))
    return SeriesTable(values, dates, found.variates)


def forecaster(found: SeriesTable, **options) -> TrainedForecaster:
    """Return a forecaster whose weights are random, with the facts of a table."""
    sizes = dict(look_back=LOOK_BACK, horizon=HORIZON)
    data = SeriesDataset(table=found, borders=(0.5, 0.2), split='train', **sizes)
    model = TSM2(variates=2, d_model=4, d_state=2, patch_len=6, stride=6, **sizes)
    meta = data.metainfo
    for key in options.pop('lacking', ()):
        meta.pop(key)
    return TrainedForecaster(model=model, meta=meta, dataset=options, name='m.pth')


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        yield


@pytest.mark.parametrize('lacking', [(), ('calendar',)], ids=['now', 'of 0.1'])
@pytest.mark.parametrize('name', CALENDARS)
def test_forecasts_go_on_by_the_calendar_of_the_table(name, lacking):
    dates = CALENDARS[name]
    trained = forecaster(table(dates), lacking=lacking)
    # as many rows as a look-back tell no business days from days
    for rows in (ROWS, *([] if lacking else [LOOK_BACK])):
        recent = table(dates)
        recent = SeriesTable(
            recent.values[-rows:], recent.dates[-rows:], recent.variates
        )
        accepted = trained.accept(recent, LOOK_BACK, 'x')
        [forecast] = trained.forecast(accepted)
        wanted = dates[ROWS : ROWS + HORIZON].to_numpy('datetime64[ns]')
        np.testing.assert_array_equal(forecast.dates, wanted)


@pytest.mark.parametrize('name', ['h', 'D', 'B', 'day 15', 'ME', 'opening hours'])
def test_gaps_in_a_look_back(name):
    whole = table(CALENDARS[name])
    part = without(whole, ROWS - 4, ROWS - 5)
    trained = forecaster(whole)
    with pytest.warns(UserWarning, match="x: 2 of 12 rows are missing.*gaps='fill'"):
        accepted = trained.accept(part, LOOK_BACK, 'x')
    np.testing.assert_array_equal(accepted.dates, whole.dates)
    [found] = trained.forecast(accepted)
    filled = whole.values.copy()
    filled[[ROWS - 4, ROWS - 5]] = filled[ROWS - 6]
    filled = SeriesTable(filled, whole.dates, whole.variates)
    [wanted] = trained.forecast(filled)
    np.testing.assert_array_equal(found.values, wanted.values)
    trained.accept(without(whole, 20, 21), LOOK_BACK, 'x')  # long ago
    trained.accept(part, LOOK_BACK, 'x', 'fill')
    with pytest.raises(ValueError, match='x: 2 of 12 rows are missing'):
        forecaster(whole, gaps='raise').accept(part, LOOK_BACK, 'x')


@pytest.mark.parametrize(
    ('trained', 'given', 'told'),
    [
        ('h', 'min', 'x has a row every minute, m.pth was trained on a row every hour'),
        ('h', 'D', 'x has a row every day, m.pth was trained on a row every hour'),
        ('B', 'D', 'x has a row every day, m.pth was trained on 5 rows a week'),
        ('MS', 'QE', 'the last day of every 3 months, .* on day 1 of every month'),
        ('day 15', 'D', 'a row every day, m.pth was trained on day 15 of every month'),
        ('opening hours', 'D', 'was trained on 16 rows a day'),
    ],
)
def test_another_calendar_is_refused(trained, given, told):
    found = forecaster(table(CALENDARS[trained]))
    with pytest.raises(ValueError, match=told):
        found.accept(table(CALENDARS[given]), LOOK_BACK, 'x')


@pytest.mark.parametrize(
    ('trained', 'given'), [('h', 'half past'), ('MS', 'day 15'), ('day 28', 'ME')]
)
def test_a_calendar_that_differs_by_a_shift_is_taken(trained, given):
    half_past = CALENDARS['h'] + pd.Timedelta(minutes=30)
    dates = {**CALENDARS, 'half past': half_past}[given]
    found = forecaster(table(CALENDARS[trained]))
    [forecast] = found.forecast(found.accept(table(dates), LOOK_BACK, 'x'))
    assert list(forecast.dates) == list(dates[ROWS:][:HORIZON].to_numpy())


def test_every_second_row_is_another_calendar():
    found = forecaster(table(CALENDARS['h']))
    with pytest.raises(ValueError, match='x has a row every 2 hours'):
        found.accept(table(CALENDARS['h'][::2]), LOOK_BACK, 'x')


def test_variates_are_found_by_name():
    whole = table(CALENDARS['h'])
    trained = forecaster(whole)
    turned = whole.select(['b', 'a'])
    [found] = trained.forecast(trained.accept(turned, LOOK_BACK, 'x'))
    [wanted] = trained.forecast(whole)
    assert found.variates == wanted.variates == ('a', 'b')
    np.testing.assert_array_equal(found.values, wanted.values)
    with pytest.raises(ValueError, match='the table lacks b and also has c'):
        other = SeriesTable(whole.values, whole.dates, ('a', 'c'))
        trained.accept(other, LOOK_BACK, 'x')


def test_a_series_that_ended_is_told():
    whole = table(CALENDARS['h'])
    whole.values[-5:, 1] = np.nan
    with pytest.warns(UserWarning, match="'b' has no value in 5 of 12 rows, the last"):
        forecaster(table(CALENDARS['h'])).accept(whole, LOOK_BACK, 'x')


def test_covariates_of_a_table_are_given_for_the_horizon():
    source = dict(path='train.csv', columns=['wind'])
    with pytest.raises(ValueError, match=r'wind: give .* by --future FILE'):
        list(sources_of(['hour', source], None))
    with pytest.raises(ValueError, match=r'wind: give .* by `future`'):
        list(sources_of(['hour', source], None, '`future`'))
    found = list(sources_of(['hour', source], 'new.csv'))
    assert found == ['hour', dict(path='new.csv', columns=['wind'])]
