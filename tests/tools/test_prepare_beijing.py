"""The table of Beijing's air quality becomes windows with weather and stations."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmmambamixer.datasets import FRACTIONS, SeriesDataset, read_table

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get('MMMAMBAMIXER_DATA', ROOT / 'data'))
LONG = DATA / 'timeseries/beijing_multisite/beijing_multisite_long.csv.gz'
COVARIATES = ('TEMP', 'PRES', 'DEWP', 'RAIN', 'WSPM', 'wd_sin', 'wd_cos')


@pytest.fixture
def prepare(monkeypatch):
    """Call the script in this process; return the sentence that it ends with."""
    path = ROOT / 'tools/prepare_beijing.py'
    spec = importlib.util.spec_from_file_location('prepare_beijing', path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(source, folder) -> str | None:
        monkeypatch.setattr(sys, 'argv', [path.name, str(source), str(folder)])
        try:
            script.main()
        except SystemExit as end:
            return end.code

    return call


def windows(folder, horizon, look_back=512):
    weather = dict(path=folder / 'weather.csv', columns=COVARIATES, layout='long')
    return [
        SeriesDataset(
            path=folder / 'pm25.csv',
            split=split,
            look_back=look_back,
            horizon=horizon,
            borders=FRACTIONS,
            future=[weather],
            static='one_hot',
        )
        for split in ('train', 'val', 'test')
    ]


@pytest.fixture
def long():
    """Two stations, 40 hours; a gap in PM2.5 and one in the wind."""
    hours = pd.date_range('2013-03-01', periods=40, freq='h')
    rows = pd.DataFrame(
        dict(date=[*hours, *hours], station=['B'] * 40 + ['A'] * 40, wd='N')
    )
    for name in ('PM2.5', *COVARIATES[:5]):
        rows[name] = np.random.default_rng(0).normal(size=80)
    rows.loc[5, 'PM2.5'] = rows.loc[7, 'wd'] = None
    rows.loc[6, 'wd'] = 'WSW'
    return rows


def test_the_files_hold_what_the_table_does(long, tmp_path, prepare, capsys):
    long.to_csv(tmp_path / 'long.csv', index=False)
    assert prepare(tmp_path / 'long.csv', tmp_path / 'new' / 'beijing') is None
    assert '40 rows, 2 stations' in capsys.readouterr().out
    folder = tmp_path / 'new' / 'beijing'
    table = read_table(folder / 'pm25.csv')
    assert table.variates == ('B', 'A')
    np.testing.assert_array_equal(table.values[:, 1], long['PM2.5'][40:])
    assert np.isnan(table.values[5, 0])
    weather = pd.read_csv(folder / 'weather.csv')
    angle = np.arctan2(weather['wd_sin'], weather['wd_cos'])[[0, 6]]
    np.testing.assert_allclose(angle, [0, np.deg2rad(247.5 - 360)], atol=1e-5)
    assert weather.loc[7, ['wd_sin', 'wd_cos']].isna().all()
    item = windows(folder, horizon=2, look_back=3)[0][0]
    assert tuple(item['known'].shape) == (2, 2, 7)
    assert not item['known'].isnan().any()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(wd='up'), "WNW, NW, NNW, got 'up'"),
        (dict(RAIN=None), "long.csv: there is no column 'RAIN'"),
    ],
)
def test_another_table_is_refused(long, change, message, tmp_path, prepare):
    for name, value in change.items():
        long = long.drop(columns=name) if value is None else long.assign(wd=value)
    long.to_csv(tmp_path / 'long.csv', index=False)
    assert message in prepare(tmp_path / 'long.csv', tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not LONG.is_file(), reason=f'no table at {LONG}')
def test_the_windows_of_the_whole_table(tmp_path, prepare):
    assert prepare(LONG, tmp_path) is None
    for horizon, counts in ((24, [24009, 3485, 6989]), (96, [23937, 3413, 6917])):
        parts = windows(tmp_path, horizon)
        assert [len(part) for part in parts] == counts
        assert tuple(parts[1][0]['known'].shape) == (12, horizon, 7)
        assert tuple(parts[1][0]['static'].shape) == (12, 12)
        assert 0.9 < parts[2].observed.float().mean() < 1
