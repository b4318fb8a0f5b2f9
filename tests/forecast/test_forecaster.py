"""`SeriesForecaster`: fit, predict, backtest, save and load on data frames."""

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.forecast import SeriesForecaster
from mmmambamixer.forecast.trained import sources_of

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
def fitted() -> SeriesForecaster:
    options = dict(quantiles=[0.1, 0.5, 0.9], future=['hour'], static='one_hot')
    return SeriesForecaster(**SMALL, **options).fit(make_frame())


def test_a_forecast_follows_in_the_units_of_the_frame(fitted):
    forecast = fitted.predict()
    assert list(forecast.columns)[:4] == ['date', 'a', 'a q0.1', 'a q0.5']
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
    assert list(long.columns) == ['unique_id', 'ds', 'y', 'q0.1', 'q0.5', 'q0.9']
    np.testing.assert_array_equal(long['y'][HORIZON:], wide['b'])


def test_a_saved_forecaster_forecasts_the_same(fitted, tmp_path):
    fitted.save(tmp_path / 'saved')
    loaded = SeriesForecaster.load(tmp_path / 'saved')
    pd.testing.assert_frame_equal(loaded.predict(make_frame()), fitted.predict())
    assert loaded.settings == fitted.settings
    with pytest.raises(ValueError, match='needs a frame'):
        loaded.predict()
    with pytest.raises(FileNotFoundError, match='no config'):
        SeriesForecaster.load(tmp_path)


def test_one_seed_gives_one_forecast(fitted):
    again = SeriesForecaster(**fitted.settings).fit(make_frame())
    pd.testing.assert_frame_equal(again.predict(), fitted.predict())


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
        (lambda f: SeriesForecaster(**SMALL).fit([1, 2]), 'pandas.DataFrame'),
        (lambda f: SeriesForecaster(**SMALL).fit(f[:30]), '30 rows are too few'),
        (lambda f: SeriesForecaster(**SMALL).fit(f[::-1]), 'dates ascend'),
        (lambda f: SeriesForecaster(**SMALL).backtest(f, windows=0), 'windows must be'),
        (lambda f: SeriesForecaster(**SMALL).backtest(f, windows=99), '99 windows of'),
    ],
)
def test_errors_are_one_sentence(call, told):
    with pytest.raises(ValueError, match=told) as error:
        call(make_frame())
    assert '\n' not in str(error.value)


def test_predict_refuses_another_frame(fitted):
    frame = make_frame()
    for wrong, told in (
        (frame[['date', 'b', 'a']], 'at place 0'),
        (frame[['date', 'a']], 'the table lacks b'),
        (frame[:10], 'has 10 rows'),
    ):
        with pytest.raises(ValueError, match=told):
            fitted.predict(wrong)


def test_covariates_of_a_table_are_given_for_the_horizon():
    table = dict(path='train.csv', columns=['wind'])
    with pytest.raises(ValueError, match='wind, known in advance'):
        list(sources_of(['hour', table], None))
    found = list(sources_of(['hour', table], 'new.csv'))
    assert found == ['hour', dict(path='new.csv', columns=['wind'])]
