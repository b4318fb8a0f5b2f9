"""Forecasts in the layout of the user's frame: names, types, order, kind of frame."""

import narwhals
import numpy as np
import pandas as pd
import pyarrow
import pytest

from mmmambamixer.forecast.layout import LONG, read_layout
from mmmambamixer.forecast.trained import Forecast

ROWS, HORIZON = 40, 3
DATES = pd.date_range('2021-03-01', periods=ROWS + HORIZON, freq='h')
LEVELS = (0.1, 0.5, 0.9)


def wide(dates=DATES, names=('a', 'b')) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(len(dates), 2))
    frame = pd.DataFrame(values, columns=names)
    frame.insert(0, 'date', dates)
    return frame


def melted(frame: pd.DataFrame) -> pd.DataFrame:
    long = frame.melt('date', var_name='unique_id', value_name='y')
    return long.rename(columns={'date': 'ds'})


def forecast_of(table, levels=()) -> Forecast:
    """Return the last rows of a table as a forecast."""
    rows = slice(-HORIZON, None)
    values = table.values[rows]
    quantiles = np.stack([values + level for level in levels]) if levels else None
    return Forecast(table.dates[rows], table.variates, values, quantiles, levels)


def written(change) -> pd.DataFrame:
    frame = wide()
    return frame.assign(date=change(frame['date']))


WIDE = {
    'as it is': wide(),
    'seconds': written(lambda d: d.astype('datetime64[s]')),
    'nanoseconds': written(lambda d: d.astype('datetime64[ns]')),
    'time zone': written(lambda d: d.dt.tz_localize('Europe/Berlin')),
    'UTC': written(lambda d: d.dt.tz_localize('UTC')),
    'clock set forward': wide(
        pd.date_range('2021-03-27', periods=43, freq='h', tz='Europe/Berlin')
    ),
    'clock set back': wide(
        pd.date_range('2021-10-30', periods=43, freq='h', tz='Europe/Berlin')
    ),
    'local days': wide(pd.date_range('2021-03-01', periods=43, tz='Europe/Berlin')),
    'periods': written(lambda d: d.dt.to_period('h')),
    'days of Python': wide([d.date() for d in pd.date_range('2021-03-01', periods=43)]),
    'text': written(lambda d: d.astype(str)),
    'text, day first': written(lambda d: d.dt.strftime('%d.%m.%Y %H:%M')),
    'arrow': written(lambda d: d.astype('timestamp[us][pyarrow]')),
    'numbers as names': wide(names=[0, 1]),
    'numbers of two types as names': wide(names=[2, 1.5]),
    'another name of the dates': wide().rename(columns={'date': 'when'}),
    'dates in the middle': wide()[['b', 'date', 'a']],
    'index': wide().set_index('date'),
    'index without a name': wide().set_index('date').rename_axis(None),
    'index of numbers as names': wide(names=[0, 1]).set_index('date'),
    'index of a time zone': wide().set_index('date').tz_localize('Asia/Tokyo'),
    'index of periods': wide().set_index('date').to_period('h'),
}


@pytest.mark.parametrize('name', WIDE)
def test_wide_frames_come_back(name):
    frame = WIDE[name]
    before = frame.copy()
    layout, table = read_layout(frame, LONG)
    found = layout.frame(forecast_of(table))
    wanted = frame[-HORIZON:]
    if not layout.index:
        place = [*frame.columns].index(layout.date)  # dates come first
        columns = [*frame.columns]
        wanted = wanted[[columns.pop(place), *columns]].reset_index(drop=True)
    options = dict(check_freq=False, check_column_type=False)
    pd.testing.assert_frame_equal(found, wanted, **options)
    pd.testing.assert_frame_equal(frame, before)


DAYS = pd.date_range('2021-03-01', periods=ROWS + HORIZON)
MONTHS = pd.date_range('2009-05-01', periods=ROWS + HORIZON, freq='MS')
QUARTERS = pd.date_range('1987-07-01', periods=ROWS + HORIZON, freq='QS')
HALVES = pd.date_range('2021-03-01 11:30', periods=ROWS + HORIZON, freq='30min')
TEXTS = {
    '1987Q3': [f'{d.year}Q{d.quarter}' for d in QUARTERS],
    '1987-Q3': [f'{d.year}-Q{d.quarter}' for d in QUARTERS],
    '1987': [str(1987 + n) for n in range(len(DATES))],
    '05/2009': [*MONTHS.strftime('%m/%Y')],
    '2009-05': [*MONTHS.strftime('%Y-%m')],
    'May-09': [*MONTHS.strftime('%b-%y')],
    'may 09': [d.strftime('%b %y').lower() for d in MONTHS],
    'May 2009': [*MONTHS.strftime('%b %Y')],
    'MAY 2009': [d.strftime('%b %Y').upper() for d in MONTHS],
    'May 1, 2009': [f'{d:%B} {d.day}, {d.year}' for d in MONTHS],
    '1.5.2009': [f'{d.day}.{d.month}.{d.year}' for d in MONTHS],
    '3/1/2021': [f'{d.month}/{d.day}/{d.year}' for d in DAYS],
    '3/1/21': [f'{d.month}/{d.day}/{d:%y}' for d in DAYS],
    '01.03.21': [*DAYS.strftime('%d.%m.%y')],
    '2021/3/1': [f'{d.year}/{d.month}/{d.day}' for d in DAYS],
    '20210301': [*DAYS.strftime('%Y%m%d')],
    '01-Mar-21': [*DAYS.strftime('%d-%b-%y')],
    '1 Mar 2021': [f'{d.day} {d:%b %Y}' for d in DAYS],
    'Monday, 01 March 2021': [*DAYS.strftime('%A, %d %B %Y')],
    '3/1/2021 1:30 PM': [f'{d.month}/{d.day}/{d.year} {d:%I:%M %p}' for d in HALVES],
    '03/01/2021 01:30:00 PM': [*HALVES.strftime('%m/%d/%Y %I:%M:%S %p')],
    '2021-03-01 01:30pm': [d.strftime('%Y-%m-%d %I:%M%p').lower() for d in HALVES],
    '3/1/2021 1:30pm': [f'{d.month}/{d.day}/{d:%Y %I:%M%p}'.lower() for d in HALVES],
    '2021-03-01 9:30': [f'{d:%Y-%m-%d} {d.hour}:{d:%M}' for d in HALVES],
    '20210301T113000': [*HALVES.strftime('%Y%m%dT%H%M%S')],
    '2021-03-01T11:30:00.000': [d.isoformat(timespec='milliseconds') for d in HALVES],
    '2021-03-01 11:30:00.000000': [*HALVES.strftime('%Y-%m-%d %H:%M:%S.%f')],
    '2021-03-01T11:30:00Z': [*HALVES.strftime('%Y-%m-%dT%H:%M:%SZ')],
    '2021-03-01 11:30:00 UTC': [*HALVES.strftime('%Y-%m-%d %H:%M:%S UTC')],
    '2021-03-01T11:30:00+05:30': [*HALVES.strftime('%Y-%m-%dT%H:%M:%S+05:30')],
    '2021-03-01 00:00:00-0300': [*DAYS.strftime('%Y-%m-%d %H:%M:%S-0300')],
    '2021-03-01 11:30:00+01': [*HALVES.strftime('%Y-%m-%d %H:%M:%S+01')],
}


@pytest.mark.parametrize('kind', [str, object, 'category'])
@pytest.mark.parametrize('name', TEXTS)
def test_dates_come_back_as_they_are_written(name, kind):
    dates = pd.Series(TEXTS[name], dtype=kind)
    layout, table = read_layout(wide(dates), LONG)
    found = layout.frame(forecast_of(table))['date']
    assert [*found] == TEXTS[name][-HORIZON:]
    if kind != 'category':
        assert found.dtype == dates.dtype


@pytest.mark.parametrize('kind', ['float32', 'Float32', 'Float64', 'double[pyarrow]'])
def test_types_of_values_come_back(kind):
    frame = wide().astype(dict(a=kind)).rename_axis(columns='station')
    layout, table = read_layout(frame, LONG)
    found = layout.frame(forecast_of(table, LEVELS))
    assert [found[name].dtype for name in ('a', 'a q0.1', 'b')] == [kind, kind, float]
    assert found.columns.name == 'station'
    long = melted(wide()).astype(dict(y=kind))
    layout, table = read_layout(long, LONG)
    found = layout.frame(forecast_of(table, LEVELS))
    assert found['y'].dtype == found['q0.9'].dtype == kind


def ids(*values, dtype=None) -> pd.DataFrame:
    frame = melted(wide())
    column = pd.Series(values, dtype=dtype).repeat(len(DATES))
    return frame.assign(unique_id=column.array)


LONG_FRAMES = {
    'texts': melted(wide()),
    'numbers': ids(10, 7),
    'small numbers': ids(10, 7, dtype='int8'),
    'nullable numbers': ids(10, 7, dtype='Int64'),
    'fractions': ids(1.5, 0.25),
    'categories': ids('x', 'y', dtype=pd.CategoricalDtype(['y', 'x', 'z'])),
    'objects': ids('x', 'y', dtype=object),
    'numbers and texts': ids(3, 'y', dtype=object),
    'arrow': ids('x', 'y', dtype='string[pyarrow]'),
    'dates': ids(pd.Timestamp('2020-01-01'), pd.Timestamp('2021-01-01')),
}


@pytest.mark.parametrize('order', ['by series', 'by date', 'random'])
@pytest.mark.parametrize('name', LONG_FRAMES)
def test_long_frames_come_back(name, order):
    """Series in the order in which they appear, ids of their type, dates ascending."""
    frame = LONG_FRAMES[name][['unique_id', 'ds', 'y']]
    if order == 'by date':
        frame = frame.sort_values('ds', kind='stable')
    elif order == 'random':
        frame = frame.sample(frac=1, random_state=1)
    layout, table = read_layout(frame, LONG)
    found = layout.frame(forecast_of(table))
    wanted = frame[frame['ds'] >= DATES[-HORIZON]]
    places = wanted['unique_id'].map({n: i for i, n in enumerate(layout.names)})
    wanted = wanted.assign(place=places.astype(int)).sort_values(['place', 'ds'])
    wanted = wanted.drop(columns='place').reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted)


def polars(frame: pd.DataFrame):
    return pytest.importorskip('polars').from_pandas(frame)


@pytest.mark.parametrize('make', [pyarrow.Table.from_pandas, polars])
@pytest.mark.parametrize(
    'frame',
    [
        *(wide(), melted(wide()), ids(10, 7), ids('x', 'y', dtype='category')),
        *(wide().astype(dict(a='float32')), melted(wide()).astype(dict(y='float32'))),
    ],
    ids=['wide', 'long', 'numbers', 'categories', 'float32', 'long, float32'],
)
def test_frames_of_others_come_back(make, frame):
    given = make(frame)
    layout, table = read_layout(given, LONG)
    found = layout.frame(forecast_of(table, LEVELS))
    assert type(found) is type(given)
    expected, pandas_table = read_layout(frame, LONG)
    np.testing.assert_array_equal(table.values, pandas_table.values)
    wanted = make(expected.frame(forecast_of(table, LEVELS)))
    found, wanted, given = map(narwhals.from_native, (found, wanted, given))
    assert found.schema == wanted.schema
    for name in found.columns:
        assert found[name].to_list() == wanted[name].to_list(), name
        if name in given.columns:
            assert found.schema[name] == given.schema[name]


@pytest.mark.parametrize(
    ('frame', 'options', 'label'),
    [
        (wide(names=['a q0.5', 'a']), {}, 'a q0.5'),
        (wide(names=['a', 'a q0.1']), {}, 'a q0.1'),
        (wide(names=[1, '1 q0.9']), {}, '1 q0.9'),
        (wide(names=['a', 'cutoff']), dict(cutoff=True), 'cutoff'),
        (wide().rename(columns={'date': 'cutoff'}), dict(cutoff=True), 'cutoff'),
        (wide(names=['a', 'x']).rename(columns={'date': 'a q0.5'}), {}, 'a q0.5'),
    ],
)
def test_names_that_a_forecast_would_have_twice(frame, options, label):
    layout, _ = read_layout(frame, LONG)
    with pytest.raises(ValueError, match=f"would be called '{label}'"):
        layout.labels(layout.names, LEVELS, **options)
    layout.labels(layout.names, ())


def test_names_of_a_long_frame_that_a_forecast_would_have_twice():
    frame = melted(wide()).rename(columns={'y': 'q0.5'})
    layout, table = read_layout(frame, {**LONG, 'value': 'q0.5'})
    with pytest.raises(ValueError, match=r"would be called 'q0\.5'"):
        layout.frame(forecast_of(table, LEVELS))


def test_variates_named_like_the_columns_of_a_long_frame():
    frame = wide(names=['unique_id', 'y'])
    frame['ds'] = 1.0
    layout, table = read_layout(frame, LONG)
    assert layout.long is None
    assert table.variates == ('unique_id', 'y', 'ds')


@pytest.mark.parametrize('kind', ['datetime64[s]', 'timestamp[us][pyarrow]', 'period'])
def test_dates_are_found_by_their_type(kind):
    frame = wide().rename(columns={'date': 'when'})[['b', 'a', 'when']]
    change = frame['when'].dt.to_period('h') if kind == 'period' else None
    frame['when'] = frame['when'].astype(kind) if change is None else change
    layout, table = read_layout(frame, LONG)
    assert layout.date == 'when' and table.variates == ('b', 'a')
    np.testing.assert_array_equal(table.dates, DATES.to_numpy('datetime64[ns]'))


@pytest.mark.parametrize('start', ['2021-03-01', '2021-03-27'])
@pytest.mark.parametrize('form', ['%Y-%m-%d %H:%M:%S%z', '%Y-%m-%dT%H:%M:%S%z'])
def test_dates_with_an_offset_stay_at_their_time(start, form):
    dates = pd.date_range(start, periods=ROWS + HORIZON, freq='h', tz='Europe/Berlin')
    layout, table = read_layout(wide(dates.strftime(form)), LONG)
    found = pd.to_datetime(layout.frame(forecast_of(table))['date'], utc=True)
    np.testing.assert_array_equal(found, dates[-HORIZON:].tz_convert('UTC'))


def test_columns_of_a_long_frame_that_are_not_read():
    frame = melted(wide()).assign(price=1.0, promotion='no')
    with pytest.warns(
        UserWarning, match='price, promotion are ignored: .* with `future`'
    ):
        read_layout(frame, LONG)


class Lazy:
    """Something like polars' LazyFrame."""

    def collect(self) -> None: ...


@pytest.mark.parametrize(
    ('frame', 'told'),
    [
        ([1, 2], 'a data frame of pandas or polars.* got builtins.list'),
        (wide().to_dict(), 'got builtins.dict'),
        (wide()['a'], r'got pandas\S*\.Series'),
        (Lazy(), r'Lazy: call its collect\(\)'),
        (melted(wide()).set_index('unique_id'), r"'unique_id', .*call reset_index\(\)"),
        (melted(wide()).set_index('ds'), r"'ds', .*call reset_index\(\)"),
        (melted(wide()).set_index(['unique_id', 'ds']), r'call reset_index\(\)'),
        (
            wide().rename(columns={'date': 'x'}).set_index(['x', 'a']),
            r'one level, got a MultiIndex of x, a: call reset_index\(\)',
        ),
        (
            melted(wide())
            .sort_values('ds')
            .rename(columns={'unique_id': 'id'})
            .assign(id=1),
            'in a long frame `long` names the columns',
        ),
        (wide().T.set_index([0, 1]).T, 'one name each, got a MultiIndex of'),
    ],
)
def test_what_is_no_frame_of_series(frame, told):
    with pytest.raises(ValueError, match=told):
        read_layout(frame, LONG)
