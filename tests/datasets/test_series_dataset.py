"""Windows: which rows they hold, how these are scaled, and what is not scored."""

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.registry import DATASETS as ROOT_DATASETS
from torch.utils.data import DataLoader

from mmmambamixer.datasets import SeriesDataset, SeriesTable, from_frame
from mmmambamixer.registry import DATASETS

ROWS, LOOK_BACK, HORIZON = 60, 6, 4
SIZES = dict(look_back=LOOK_BACK, horizon=HORIZON, borders=(30, 42, 54))


def table(gaps=(), sentinels=()):
    values = np.random.default_rng(1).normal(size=(ROWS, 3)).cumsum(axis=0) * [1, 10, 3]
    for row, column in gaps:
        values[row, column] = np.nan
    for row, column in sentinels:
        values[row, column] = -9999
    frame = pd.DataFrame(values, columns=['x', 'y', 'z'])
    frame.insert(0, 'date', pd.date_range('2020-01-01', periods=ROWS, freq='h'))
    return from_frame(frame)


def dataset(split='train', series=None, **changes):
    series = table() if series is None else series
    return SeriesDataset(**SIZES | dict(table=series, split=split) | changes)


@pytest.mark.parametrize(
    ('split', 'begin', 'windows'), [('train', 0, 21), ('val', 24, 9), ('test', 36, 9)]
)
def test_every_window_of_a_part(split, begin, windows):
    series, data = table(), dataset(split)
    train = series.values[:30]
    scaled = (series.values - train.mean(0)) / train.std(0)
    assert len(data) == windows
    for index in range(windows):
        item, first = data[index], begin + index
        assert set(item) == {'past', 'future'}
        assert item['past'].dtype == torch.float32
        past = scaled[first : first + LOOK_BACK]
        future = scaled[first + LOOK_BACK : first + LOOK_BACK + HORIZON]
        np.testing.assert_allclose(item['past'], past, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(item['future'], future, rtol=1e-6, atol=1e-6)
    with pytest.raises(IndexError, match=f'there are {windows} windows'):
        data[windows]


def test_windows_are_views():
    data = dataset()
    rows = data.values.untyped_storage().data_ptr()
    for index in (0, 7):
        for tensor in data[index].values():
            assert tensor.untyped_storage().data_ptr() == rows


def test_the_target_alone_or_from_all():
    both, alone = (dataset(features=f, target='y') for f in ('MS', 'S'))
    assert [*map(tuple, (both[0]['past'].shape, both[0]['future'].shape))] == [
        (LOOK_BACK, 3),
        (HORIZON, 1),
    ]
    assert tuple(alone[0]['past'].shape) == (LOOK_BACK, 1)
    whole = dataset()[3]
    torch.testing.assert_close(both[3]['future'], whole['future'][:, 1:2])
    torch.testing.assert_close(alone[3]['past'], whole['past'][:, 1:2])
    assert (both.metainfo['targets'], alone.metainfo['targets']) == ([1], [0])
    assert (alone.metainfo['variates'], len(alone.metainfo['mean'])) == (['y'], 1)


def test_gaps_are_filled_forward_and_never_scored():
    gaps = [(0, 0), (10, 1), (11, 1), (32, 2)]
    series = table(gaps)
    data = dataset(series=series)
    np.testing.assert_allclose(data.scaling.mean, np.nanmean(series.values[:30], 0))
    assert data[0]['past'][0, 0] == 0, 'the mean of the train rows'
    held = data[6]['past']  # rows 6 to 11
    assert held[4, 1] == held[5, 1] == held[3, 1]
    observed = data[6]['observed']  # rows 12 to 15
    assert observed.dtype == torch.bool
    assert observed.all()
    assert not data[4]['observed'][:2, 1].any()  # rows 10, 11
    assert data[4]['observed'].sum() == HORIZON * 3 - 2
    assert torch.isfinite(data.values).all()
    val = dataset('val', series)
    assert not val[2]['observed'][0, 2]  # row 32
    assert 'observed' not in dataset('test', series)[0]


def test_rows_that_the_calendar_has_are_inserted(tmp_path):
    whole = table(gaps=[(20, 0), (20, 1), (20, 2)])
    kept = np.arange(ROWS) != 20
    part = SeriesTable(whole.values[kept], whole.dates[kept], whole.variates)
    known = pd.DataFrame(dict(date=part.dates, price=np.arange(59.0)))
    known.to_csv(tmp_path / 'price.csv', index=False)
    future = ['hour', dict(path=tmp_path / 'price.csv', columns=['price'])]
    data = dataset(series=part, future=future)  # the price of row 20 is not known
    torch.testing.assert_close(data.values, dataset(series=whole).values)
    assert not data[14]['observed'][0].any()
    known = data[14]['known'][0]
    assert known[0, 1] == data[13]['known'][0, 0, 1], 'the price before'
    assert float(known[0, 0]) == pytest.approx(20 / 23 - 0.5)
    with pytest.raises(ValueError, match='1 of 60 rows are missing'):
        dataset(series=part, gaps='raise')
    assert len(dataset(series=part, irregular=True).table) == 59
    dates = whole.dates.copy()
    dates[30:] += np.timedelta64(7, 'm')
    with pytest.raises(ValueError, match=r'no calendar.*`irregular=True` takes rows'):
        dataset(series=SeriesTable(whole.values, dates, whole.variates))


def test_sentinels_stay_but_are_not_trained_on():
    series = table(sentinels=[(10, 1), (33, 0)])
    options = dict(series=series, missing_values=(-9999,))
    data = dataset(**options)
    np.testing.assert_allclose(data.scaling.mean, series.values[:30].mean(0))
    item = data[4]
    assert not item['observed'][0, 1]
    assert item['observed'].sum() == HORIZON * 3 - 1
    assert item['future'][0, 1] < -4, 'the number itself'
    # published errors count them, so val and test do
    assert 'observed' not in dataset('val', **options)[0]
    rows = data.fit_rows()
    assert [*map(tuple, np.argwhere(~rows['sound']))] == [(10, 1)]
    np.testing.assert_array_equal(rows['scored'], rows['sound'])


def test_covariates_of_the_horizon_and_of_the_variates(tmp_path):
    series = table()
    frame = pd.DataFrame(dict(date=series.dates, price=np.arange(60.0)))
    frame.to_csv(tmp_path / 'price.csv', index=False)
    future = ['hour', dict(path=tmp_path / 'price.csv', columns=('price',))]
    data = dataset('val', series, future=future, static='one_hot')
    known = data[2]['known']  # rows 32 to 35
    assert tuple(known.shape) == (3, HORIZON, 2)
    hours = (np.arange(32, 36) % 24) / 23 - 0.5
    np.testing.assert_allclose(known[1, :, 0], hours, rtol=1e-6)
    prices = (np.arange(32, 36) - 14.5) / np.arange(30.0).std()
    np.testing.assert_allclose(known[2, :, 1], prices, rtol=1e-6)
    torch.testing.assert_close(data[0]['static'], torch.eye(3))
    meta = data.metainfo
    assert meta['known'] == ['hour', 'price']
    assert np.shape(meta['known_scaling']['mean']) == (3, 2)
    assert meta['static'] == ['is x', 'is y', 'is z']
    assert meta['static_values'] == np.eye(3).tolist()


def test_a_batch_has_a_first_axis_of_windows():
    data = dataset(series=table(gaps=[(10, 1)]), future=['hour'], static='one_hot')
    batch = next(iter(DataLoader(data, batch_size=5)))
    shapes = {name: tuple(tensor.shape) for name, tensor in batch.items()}
    assert shapes == dict(
        past=(5, LOOK_BACK, 3),
        future=(5, HORIZON, 3),
        observed=(5, HORIZON, 3),
        known=(5, 3, HORIZON, 1),
        static=(5, 3, 3),
    )


def test_metainfo_is_plain_and_rebuilds_the_scaling():
    data = dataset(features='MS', target='z', future=['calendar'])
    meta = data.metainfo
    assert torch.equal(
        torch.tensor(meta['mean'], dtype=torch.float64),
        torch.from_numpy(data.scaling.mean),
    )
    assert (meta['look_back'], meta['horizon'], meta['step']) == (6, 4, 3600.0)
    plain = (str, int, float, list)

    def walk(value):
        assert isinstance(value, (*plain, dict)), value
        assert type(value).__module__ == 'builtins'
        children = value.values() if isinstance(value, dict) else value
        for child in children if isinstance(value, (list, dict)) else ():
            walk(child)

    walk(meta)


def test_a_config_builds_it(tmp_path):
    frame = pd.DataFrame(table().values, columns=['x', 'y', 'z'])
    frame.insert(0, 'date', table().dates)
    frame.to_csv(tmp_path / 'series.csv', index=False)
    path = str(tmp_path / 'series.csv')
    config = dict(type='SeriesDataset', path=path, split='test', **SIZES)
    built = DATASETS.build(config)
    torch.testing.assert_close(built.values, dataset('test').values)
    full = ROOT_DATASETS.build(config | dict(type='mmmambamixer.SeriesDataset'))
    assert len(full) == 9
    long = frame.melt('date', var_name='name', value_name='load')
    long.to_csv(path, index=False)
    names = dict(id='name', time='date', value='load')
    again = DATASETS.build(config | dict(layout='long', long=names))
    torch.testing.assert_close(again.values, built.values)


BAD = [
    (dict(split='tests'), "split must be 'train', 'val' or 'test', got 'tests'"),
    (dict(look_back=0), 'look_back must be an integer from 1, got 0'),
    (dict(horizon=1.5), 'horizon must be an integer from 1, got 1.5'),
    (dict(horizon=25), r'the train part has 30 rows, but a look-back with .* needs 31'),
    (dict(horizon=13, split='val'), r'val part has 12 rows, but a horizon needs 13'),
    (dict(horizon=13, split='test'), r'test part has 12 rows, but a horizon needs 13'),
    (
        dict(look_back=31, split='val'),
        r'the val part has 30 rows before it, but a look-back needs 31',
    ),
    (
        dict(borders=(30, 42, 99)),
        'the table: borders end the test part at row 99, but the table has',
    ),
    (dict(features='SM'), "features must be 'M', 'S' or 'MS', got 'SM'"),
    (dict(target='x'), "features='M' forecasts all variates, got the target 'x'"),
    (dict(features='S'), "features='S' needs a target, the name of a variate"),
    (dict(features='MS', target='w'), "has no variate 'w', only x, y, z"),
    (dict(path='a.csv'), 'needs one of path and table'),
    (dict(table=None), 'needs one of path and table'),
    (dict(long=dict(id='name')), "long is for layout='long', got layout="),
]


@pytest.mark.parametrize(('change', 'message'), BAD)
def test_refused_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        SeriesDataset(**SIZES | dict(table=table(), split='train') | change)


def test_a_variate_without_train_values_is_refused():
    series = table(gaps=[(row, 2) for row in range(30)])
    with pytest.raises(ValueError, match="variate 'z' has no value in the train rows"):
        dataset('test', series)


def test_a_constant_variate_gives_finite_windows():
    series = table()
    series.values[:, 1] = 0.1
    assert torch.isfinite(dataset('test', series).values).all()
