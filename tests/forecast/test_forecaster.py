"""`SeriesForecaster`: fit, predict, backtest, save and load on data frames."""

import os
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.forecast import SeriesForecaster

ROWS, HORIZON = 260, 6
SMALL = dict(
    look_back=24,
    horizon=HORIZON,
    epochs=1,
    max_windows=32,
    batch_size=8,
    progress=False,
    model=dict(d_model=4, d_state=2, patch_len=6, stride=6),
)


def make_frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    t = np.arange(ROWS)[:, None]
    waves = np.sin(2 * np.pi * t / 24 + [0, 1]) + random.normal(0, 0.1, (ROWS, 2))
    frame = pd.DataFrame(waves * [1, 20] + [5, 100], columns=['a', 'b'])
    frame.insert(0, 'date', pd.date_range('2021-03-01', periods=ROWS, freq='h'))
    return frame


def make_long(frame: pd.DataFrame) -> pd.DataFrame:
    long = frame.melt('date', var_name='unique_id', value_name='y')
    return long.rename(columns={'date': 'ds'})


@pytest.fixture(scope='module')
def fitted(tmp_path_factory) -> SeriesForecaster:
    """A forecaster whose static features come from a file that is gone afterwards."""
    path = tmp_path_factory.mktemp('static') / 'static.csv'
    pd.DataFrame(dict(unique_id=['b', 'a'], size=[2.5, 1])).to_csv(path, index=False)
    options = dict(
        quantiles=np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]),
        future=['hour'],
        static=dict(path=path, columns=['size']),
    )
    found = SeriesForecaster(**SMALL, **options).fit(make_frame())
    path.unlink()
    return found


def test_a_forecast_follows_in_the_units_of_the_frame(fitted):
    forecast = fitted.predict()
    assert list(forecast.columns)[:4] == ['date', 'a', 'a q0.05', 'a q0.1']
    last = make_frame()['date'].iloc[-1]
    wanted = pd.date_range(last, periods=HORIZON + 1, freq='h')[1:]
    assert list(forecast['date']) == list(wanted)
    assert forecast['b'].between(70, 130).all()
    np.testing.assert_array_equal(forecast['a'], forecast['a q0.5'])


def test_forecasts_come_in_the_layout_of_the_frame(fitted):
    frame = make_frame()
    wide = fitted.predict(frame)
    indexed = fitted.predict(frame.set_index('date'))
    assert isinstance(indexed.index, pd.DatetimeIndex)
    np.testing.assert_array_equal(indexed['b'], wide['b'])
    long = fitted.predict(make_long(frame))
    assert list(long.columns)[:5] == ['unique_id', 'ds', 'y', 'q0.05', 'q0.1']
    np.testing.assert_array_equal(long['y'][HORIZON:], wide['b'])


def test_quantiles_ascend(fitted):
    """From noise too, of which those of the heads cross."""
    random = np.random.default_rng(1)
    crossing = 0
    for scale in (1, 3, 10, 30):
        frame = make_frame()
        frame[['a', 'b']] += scale * random.standard_t(2, (ROWS, 2))
        for end in range(60, ROWS, 40):
            forecast = fitted.predict(frame[:end])
            for name in 'ab':
                columns = [f'{name} q{q:g}' for q in fitted.settings['quantiles']]
                steps = np.diff(forecast[columns], axis=1)
                assert (steps >= 0).all()
                crossing += (steps == 0).sum()
                assert (forecast[name] == forecast[f'{name} q0.5']).all()
    assert crossing < 10, 'they are sorted, not levelled'


def test_a_saved_forecaster_is_whole(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / 'saved/deep')
    (tmp_path / 'saved/deep').rename(tmp_path / 'moved')
    monkeypatch.chdir(tmp_path)
    loaded = SeriesForecaster.load('moved')
    wanted = fitted.predict()
    pd.testing.assert_frame_equal(loaded.predict(make_frame()), wanted)
    static = dict(values=dict(a=[1.0], b=[2.5]), columns=['size'])
    assert loaded.settings == {**fitted.settings, 'static': static}
    assert str(tmp_path.parent) not in Path('moved/config.py').read_text()
    with pytest.raises(ValueError, match='needs a frame'):
        loaded.predict()
    for file in ('moved/config.py', 'moved/config.py/x'):
        with pytest.raises(ValueError, match=f'{file} must be a folder to save in'):
            loaded.save(file)
    loaded.save('again')
    again = SeriesForecaster.load('again')
    pd.testing.assert_frame_equal(again.predict(make_frame()), wanted)
    assert len(again.backtest(make_frame(), windows=1)[1]) == 1, 'trained anew'
    with pytest.raises(FileNotFoundError, match='no config'):
        SeriesForecaster.load(tmp_path)
    Path('again/config.py').write_text('a = 1')
    with pytest.raises(ValueError, match='is not of a forecaster that was saved'):
        SeriesForecaster.load('again')


def test_a_forecaster_is_pickled(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict(), fitted.predict())


def test_opening_hours_go_on_across_a_change_of_the_clock():
    hours = pd.date_range('2021-03-01', '2021-04-01', freq='h', tz='Europe/Berlin')
    hours = hours[(hours.hour >= 8) & (hours.hour < 18)]
    end = hours.searchsorted(pd.Timestamp('2021-03-27 14:00', tz='Europe/Berlin'))
    frame = make_frame()[:end].assign(date=hours[end - ROWS : end])
    forecast = SeriesForecaster(**SMALL).fit(frame).predict()
    assert [*forecast['date']] == [*hours[end : end + HORIZON]]


def test_the_clock_of_the_training_holds(tmp_path):
    """A part of a table does not tell by itself that it keeps to the local clock."""
    hours = pd.date_range('2021-03-01', '2021-04-09', freq='h', tz='Europe/Berlin')
    nights = hours[hours.hour < 5]
    end = nights.searchsorted(pd.Timestamp('2021-03-28', tz='Europe/Berlin'))
    frame = make_frame()[:end].assign(date=nights[:end])
    pd.DataFrame(dict(date=hours, x=1.0)).to_parquet(tmp_path / 'x.parquet')
    future = ['hour', dict(path=tmp_path / 'x.parquet', columns=['x'])]
    forecaster = SeriesForecaster(**SMALL, future=future).fit(frame)
    # 02:00 is skipped
    coming = nights[end : end + HORIZON - 1]
    for given in (frame, frame[-24:]):
        with pytest.warns(
            UserWarning, match='no row at 2021-03-28T02:00:00, .* 5 of 6'
        ):
            found = forecaster.predict(given, future=tmp_path / 'x.parquet')
        assert [*found['date']] == [*coming]
    other = frame.assign(date=frame['date'].dt.tz_convert('America/New_York'))
    with pytest.warns(UserWarning, match='no row at'):
        found = forecaster.predict(other, future=tmp_path / 'x.parquet')
    assert [*found['date']] == [*coming.tz_convert('America/New_York')]
    bare = frame.assign(date=frame['date'].dt.tz_localize(None))
    with pytest.raises(ValueError, match='lack a time zone'):
        forecaster.predict(bare, future=tmp_path / 'x.parquet')


def test_training_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    frame = make_frame()
    before = frame.copy()
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        SeriesForecaster(**SMALL).fit(frame).predict(frame)
    assert os.listdir(temporary) == [] and os.listdir(tmp_path) == ['temporary']
    pd.testing.assert_frame_equal(frame, before)


def test_gaps_are_told(fitted):
    """Rows that are missing, a series that ends early: by choice filled or refused."""
    frame = make_frame()
    gap = frame.drop(index=range(100, 130))
    short = make_long(frame)
    short = short[~((short['unique_id'] == 'b') & (short['ds'] > '2021-03-11'))]
    for given, told in (
        (gap, 'the frame: 30 of 260 rows are missing, the first at 2021-03-05T04'),
        (
            short,
            "the frame: 'b' has no value in 19 of 260 rows, .* 19 before the",
        ),
    ):
        with pytest.raises(ValueError, match=f"{told}.*gaps='fill'"):
            SeriesForecaster(**SMALL, gaps='raise').fit(given)
    with pytest.warns(UserWarning, match=told):
        SeriesForecaster(**SMALL).fit(short)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        fitted.predict(gap)  # not in the look-back
    with pytest.warns(UserWarning, match="'b' has no value in 19 of 24 rows"):
        fitted.predict(short)


def test_sizes_of_numpy_and_a_short_look_back():
    sizes = dict(look_back=np.int64(5), horizon=np.int32(2), max_windows=np.uint8(9))
    small = {**SMALL, **sizes, 'model': dict(d_model=np.int64(4), d_state=2)}
    forecast = SeriesForecaster(**small).fit(make_frame()).predict()
    assert len(forecast) == 2 and np.isfinite(forecast[['a', 'b']]).all(axis=None)


def test_one_seed_gives_one_forecast(fitted, tmp_path):
    fitted.save(saved := tmp_path / 'saved')
    settings = SeriesForecaster.load(saved).settings  # its file is gone
    again = SeriesForecaster(**settings).fit(make_frame())
    pd.testing.assert_frame_equal(again.predict(), fitted.predict())


def test_a_backtest_keeps_types():
    frame = make_long(make_frame())
    frame['unique_id'] = frame['unique_id'].map(dict(a=10, b=7))
    frame['ds'] = frame['ds'].dt.tz_localize('UTC')
    forecasts, scores = SeriesForecaster(**SMALL).backtest(frame, windows=2)
    assert list(forecasts.columns) == ['cutoff', 'unique_id', 'ds', 'y']
    assert list(forecasts['unique_id'][::HORIZON]) == [10, 7, 10, 7]
    for column in ('cutoff', 'ds'):
        assert forecasts[column].dtype == frame['ds'].dtype
    assert list(scores['cutoff']) == list(forecasts['cutoff'][:: 2 * HORIZON])
    merged = frame.merge(forecasts, on=['unique_id', 'ds'])
    assert len(merged) == 4 * HORIZON


def test_a_backtest_has_the_calendar_of_the_frame():
    """Five days before its first origin tell nothing of weekends."""
    dates = pd.bdate_range('2021-03-01', periods=8)
    frame = make_frame()[:8].assign(date=dates)
    sizes = dict(look_back=2, horizon=1, val_fraction=0.4)
    forecaster = SeriesForecaster(**{**SMALL, **sizes, 'model': dict(d_model=4)})
    forecasts, _ = forecaster.backtest(frame, windows=3)
    assert list(forecasts['date']) == list(dates[5:])
    with pytest.warns(UserWarning, match='of one week, Monday to Friday'):
        forecaster.fit(frame[:5])


def test_a_backtest_does_not_see_what_it_forecasts():
    frame = make_frame()
    changed = frame.copy()
    changed.loc[ROWS - 2 * HORIZON :, ['a', 'b']] = 1e4
    forecaster = SeriesForecaster(**SMALL)
    forecasts, scores = forecaster.backtest(frame, windows=2)
    others, _ = forecaster.backtest(changed, windows=2)
    assert list(forecasts.columns) == ['cutoff', 'date', 'a', 'b']
    first = frame['date'].iloc[-2 * HORIZON - 1]
    assert list(scores['cutoff']) == [first, first + pd.Timedelta(hours=HORIZON)]
    pd.testing.assert_frame_equal(forecasts[:HORIZON], others[:HORIZON])
    assert not forecasts[HORIZON:].equals(others[HORIZON:])
    assert (scores['mse'] < scores['repeat_last_mse']).all()
    with pytest.raises(ValueError, match='nothing was trained'):
        forecaster.predict()


@pytest.mark.parametrize(
    'call, told',
    [
        (lambda f: SeriesForecaster(look_back=0, horizon=3), 'look_back must be'),
        (
            lambda f: SeriesForecaster(look_back=9, horizon=3, val_fraction=1),
            'val_fraction',
        ),
        (lambda f: SeriesForecaster(**SMALL).predict(), 'nothing was trained'),
        (lambda f: SeriesForecaster(look_back=True, horizon=3), 'look_back must be'),
        (lambda f: SeriesForecaster(look_back=9.5, horizon=3), 'look_back must be'),
        (
            lambda f: SeriesForecaster(look_back=9, horizon=3, gaps='drop'),
            'gaps must be one of',
        ),
        (
            lambda f: SeriesForecaster(look_back=5, horizon=3, model=SMALL['model']),
            'look_back=5 is shorter than the patches of the model, patch_len=6',
        ),
        (
            lambda f: SeriesForecaster(**SMALL, quantiles=0.5),
            'quantiles must be numbers',
        ),
        (
            lambda f: SeriesForecaster(**SMALL, quantiles=['0.5']),
            'quantiles must be numbers',
        ),
        (
            lambda f: SeriesForecaster(**SMALL, quantiles=[0.9, 0.5]).fit(f),
            'quantiles must ascend',
        ),
        (
            lambda f: SeriesForecaster(**SMALL, quantiles=[0.1, 0.1 + 1e-9, 0.5]).fit(
                f
            ),
            'quantiles must differ in their first six digits, got 0.1, 0.100000001',
        ),
        (lambda f: SeriesForecaster(**SMALL).fit([1, 2]), 'got builtins.list'),
        (
            lambda f: SeriesForecaster(**SMALL).fit(
                make_long(f).rename(columns=dict(unique_id='shop', ds='day'))
            ),
            'some dates are repeated; in a long frame `long` names the columns',
        ),
        (
            lambda f: SeriesForecaster(**SMALL, quantiles=[0.5]).fit(
                f.rename(columns=dict(b='a q0.5'))
            ),
            "two columns of the forecast would be called 'a q0.5'",
        ),
        (
            lambda f: SeriesForecaster(**SMALL).backtest(
                f.rename(columns=dict(b='cutoff'))
            ),
            "would be called 'cutoff'",
        ),
        (
            lambda f: SeriesForecaster(**SMALL).fit(
                f.assign(date=f['date'] + pd.to_timedelta(f.index**2, 's'))
            ),
            'the dates follow no calendar',
        ),
        (
            lambda f: SeriesForecaster(**SMALL).fit(f.assign(a=f['a'] * 1e300)),
            "'a' cannot be scaled",
        ),
        (
            lambda f: SeriesForecaster(**SMALL).fit(f.assign(b=f['b'] * 1e-320)),
            "'b' cannot be scaled",
        ),
        (lambda f: SeriesForecaster(**SMALL).fit(f[:30]), '30 rows are too few'),
        (
            lambda f: SeriesForecaster(**SMALL).fit(f[::-1]),
            'the dates are not in order',
        ),
        (lambda f: SeriesForecaster(**SMALL).backtest(f, windows=0), 'windows must be'),
        (
            lambda f: SeriesForecaster(**SMALL).backtest(f, windows=99),
            'windows=99 with horizon=6',
        ),
    ],
)
def test_errors_are_one_sentence(call, told):
    with pytest.raises(ValueError, match=told) as error:
        call(make_frame())
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('argument', 'told'),
    [
        (dict(model='x'), "model must be a dict .*, got 'x'"),
        (dict(model=dict(d_modell=8)), "model may have .*; did you mean 'd_model'"),
        (dict(model=dict(patch_len='x')), "patch_len must be an integer .* got 'x'"),
        (dict(long='abc'), "long must be a dict with keys among id, .*, got 'abc'"),
        (
            dict(long=dict(ids='store')),
            "long may have .*, got 'ids'; did you mean 'id'",
        ),
        (dict(seed='a'), "seed must be an integer from 0 to 4294967295, got 'a'"),
        (dict(seed=1.5), 'seed must be an integer .*, got 1.5'),
        (dict(seed=-1), 'seed must be an integer .*, got -1'),
        (dict(seed=2**32), 'seed must be an integer .*, got 4294967296'),
        (dict(future=5), 'future must be a list of names and tables, got 5'),
        (dict(future=[dict(foo=1)]), "a table of future may have .*, got 'foo'"),
        (dict(static=dict(foo=1)), "static may have the keys path, .*, got 'foo'"),
        (dict(static=dict(path='x')), "static needs the key 'columns'"),
        (dict(static=3), "static must be 'one_hot' or .*, got 3"),
        (dict(gaps=np.array(['warn', 'fill'])), 'gaps must be one of .*, got array'),
        (dict(progress='x'), "progress must be True or False, got 'x'"),
    ],
    ids=str,
)
def test_arguments_are_checked_before_there_is_a_frame(argument, told):
    with pytest.raises(ValueError, match=told):
        SeriesForecaster(**SMALL | argument)


def test_predict_refuses_another_frame(fitted):
    frame = make_frame()
    for wrong, told in (
        (frame.rename(columns=dict(b='c')), 'lacks b and also has c'),
        (frame[::2], 'has a row every 2 hours, the forecaster was trained on a row'),
        (frame[['date', 'a']], 'the table lacks b'),
        (frame[:10], 'has 10 rows'),
        (frame.assign(a=frame['a'] * 1e60), 'forecast of a.* is not finite'),
    ):
        with pytest.raises(ValueError, match=told):
            fitted.predict(wrong)
