"""What is known beside the series."""

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import future_covariates, static_features, time_features

DATES = pd.date_range('2020-01-01', periods=8, freq='h').to_numpy()
HOUR = np.timedelta64(1, 'h')
VARIATES = ('b', 'a')


@pytest.fixture
def long(tmp_path):
    """A long table whose series stand in another order, with a gap."""
    rows = [
        dict(unique_id=name, ds=date, heat=100 * place + hour, rain=hour % 3)
        for place, name in enumerate('ab')
        for hour, date in enumerate(DATES)
    ]
    frame = pd.DataFrame(rows)
    frame.loc[3, 'heat'] = np.nan
    frame.to_csv(tmp_path / 'long.csv', index=False)
    return tmp_path / 'long.csv'


@pytest.fixture
def wide(tmp_path):
    frame = pd.DataFrame(dict(date=DATES, holiday=np.arange(8) % 2, price=range(8)))
    frame.to_csv(tmp_path / 'wide.csv', index=False)
    return tmp_path / 'wide.csv'


def read(*sources, dates=DATES):
    return future_covariates(sources, dates, VARIATES, HOUR)


def test_a_long_table_has_values_of_each_variate(long):
    source = dict(path=long, columns=('heat', 'rain'), layout='long')
    told = r"long.csv: covariate 'heat' has no value at 1 of 8 dates, the first 2020-"
    with pytest.warns(UserWarning, match=told):
        covariates = read(source)
    assert covariates.names == ('heat', 'rain')
    assert covariates.values.shape == (8, 2, 2)
    np.testing.assert_array_equal(covariates.values[:, 0, 0], 100 + np.arange(8))
    np.testing.assert_array_equal(covariates.values[2:5, 1, 0], [2, np.nan, 4])
    np.testing.assert_array_equal(covariates.values[:, 1, 1], np.arange(8) % 3)


def test_a_wide_table_is_shared_or_has_a_column_a_variate(wide):
    shared = read(dict(path=wide, columns=('price',)))
    np.testing.assert_array_equal(shared.values[..., 0], np.arange(8)[:, None] + [0, 0])
    own = read(dict(path=wide, columns=dict(signal=('price', 'holiday'))))
    assert own.names == ('signal',)
    np.testing.assert_array_equal(own.values[:, 0, 0], np.arange(8))
    np.testing.assert_array_equal(own.values[:, 1, 0], np.arange(8) % 2)


def test_rows_are_found_by_date(wide):
    later = read(dict(path=wide, columns=('price',)), dates=DATES[[3, 3, 5]])
    np.testing.assert_array_equal(later.values[:, 0, 0], [3, 3, 5])


def test_time_features_are_not_scaled_and_gaps_are_filled(long):
    source = dict(path=long, columns=('heat',), layout='long')
    covariates = read('hour', source)
    scaled = covariates.scaled(covariates.scaling(6))
    hours = time_features(DATES, ('hour',))
    np.testing.assert_array_equal(scaled[..., 0], np.repeat(hours, 2, 1))
    heat = np.arange(6.0) + 100
    np.testing.assert_allclose(
        scaled[:, 0, 1], (100 + np.arange(8) - heat.mean()) / heat.std()
    )
    assert scaled[3, 1, 1] == scaled[2, 1, 1]
    assert np.isfinite(scaled).all()


def test_the_calendar_is_all_that_varies():
    names = ('hour', 'day_of_week', 'day_of_month', 'day_of_year', 'month')
    assert read('calendar').names == names


BAD_FUTURE = [
    ('hour', "future must be a list of names and tables, got 'hour'"),
    ([], 'future is an empty list'),
    (
        ['minute'],
        "'minute' is constant where rows are 3600 seconds apart; .* vary: hour, day",
    ),
    (['moon'], r"a time feature must be one of minute, .*, got 'moon'"),
    (['hour', 'hour'], "future covariates: two columns are named 'hour'"),
    ([{'foo': 1}], "a table of future may have the keys path, .*, got 'foo'"),
    ([dict(path='x.csv')], "a table of future needs the key 'columns'"),
    ([3], r'an entry of future must be a name or dict\(path=..., columns=...\), got 3'),
]


@pytest.mark.parametrize(('sources', 'message'), BAD_FUTURE)
def test_refused_sources(sources, message):
    with pytest.raises(ValueError, match=message):
        future_covariates(sources, DATES, VARIATES, HOUR)


BAD_TABLES = [
    (dict(columns=('heta',), layout='long'), "no column 'heta'.*did you mean 'heat'"),
    (
        dict(columns='heat', layout='long'),
        "columns must be a list of names, got 'heat'",
    ),
    (
        dict(columns=('heat',), layout='tall'),
        "layout must be 'wide' or 'long', got 'tall'",
    ),
    (
        dict(columns=dict(heat=('heat',)), layout='long'),
        'must be a list of names, got a dict',
    ),
    (dict(columns=('heat',), layout='long', time='when'), "no column 'when'"),
]


@pytest.mark.parametrize(('change', 'message'), BAD_TABLES)
def test_refused_tables(change, message, long):
    with pytest.raises(ValueError, match=f'long.csv: .*{message}'):
        read(dict(path=long, **change))


def test_refused_rows_and_columns(long, wide):
    after = np.append(DATES, DATES[-1] + HOUR)
    with pytest.raises(
        ValueError, match=r'1 of 9 dates are missing, first 2020-01-01T08'
    ):
        read(dict(path=wide, columns=('price',)), dates=after)
    with pytest.raises(ValueError, match='each of the 2 variates, got 1 columns'):
        read(dict(path=wide, columns=dict(signal=('price',))))
    with pytest.raises(ValueError, match="no variate 'c', only a, b"):
        source = dict(path=long, columns=('heat',), layout='long')
        future_covariates([source], DATES, ('a', 'c'), HOUR)
    with pytest.raises(ValueError, match=r"no variate 'prize'.*did you mean 'price'"):
        read(dict(path=wide, columns=('prize',)))


@pytest.fixture
def stations(tmp_path):
    frame = pd.DataFrame(
        dict(unique_id=['a', 'x', 'b'], lat=[1.0, 5, 3], lon=[7, 7, 7])
    )
    frame.to_csv(tmp_path / 'stations.csv', index=False)
    return tmp_path / 'stations.csv'


def test_static_features(stations):
    values, names = static_features('one_hot', VARIATES)
    np.testing.assert_array_equal(values, np.eye(2))
    assert names == ('is b', 'is a')
    values, names = static_features(
        dict(path=stations, columns=('lat', 'lon')), VARIATES
    )
    np.testing.assert_array_equal(values, [[1, 0], [-1, 0]])  # scaled over b and a
    assert names == ('lat', 'lon')


def test_refused_static_features(stations):
    with pytest.raises(
        ValueError, match=r"static must be 'one_hot' or .*, got 'onehot'"
    ):
        static_features('onehot', VARIATES)
    table = dict(path=stations, columns=('lat',))
    with pytest.raises(
        ValueError, match="must name each variate once, but it has 'c' 0 times"
    ):
        static_features(table, ('a', 'c'))
    with pytest.raises(ValueError, match="no column 'height'"):
        static_features(table | dict(columns=('height',)), VARIATES)
    with pytest.raises(ValueError, match="columns must be a list of names, got 'lat'"):
        static_features(table | dict(columns='lat'), VARIATES)
    stations.write_text('unique_id,lat\na,1\nb,\n')
    with pytest.raises(ValueError, match="finite numbers, got nan in 'lat' of 'b'"):
        static_features(table, VARIATES)
