"""The windows of the field's tables, where they are at hand.

The tables are found through the variable MMMAMBAMIXER_DATA.
"""

import os
from pathlib import Path

import pytest

from mmmambamixer.datasets import (
    ETT_HOUR,
    ETT_MINUTE,
    FRACTIONS,
    SeriesDataset,
    read_table,
)

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get('MMMAMBAMIXER_DATA', ROOT / 'data'))
SERIES = DATA / 'timeseries'
HORIZONS = (96, 192, 336, 720)
ETT_HOURS = ['8033/2785/2785', '7937/2689/2689', '7793/2545/2545', '7409/2161/2161']
ETT_MINUTES = [
    '33953/11425/11425',
    '33857/11329/11329',
    '33713/11185/11185',
    '33329/10801/10801',
]
WINDOWS = {  # train/val/test at look-back 512
    'ETTh1': (7, ETT_HOUR, ETT_HOURS),
    'ETTh2': (7, ETT_HOUR, ETT_HOURS),
    'ETTm1': (7, ETT_MINUTE, ETT_MINUTES),
    'ETTm2': (7, ETT_MINUTE, ETT_MINUTES),
    'weather': (
        21,
        FRACTIONS,
        ['36280/5175/10444', '36184/5079/10348', '36040/4935/10204', '35656/4551/9820'],
    ),
    'exchange_rate': (
        8,
        FRACTIONS,
        ['4704/665/1422', '4608/569/1326', '4464/425/1182', '4080/41/798'],
    ),
    'electricity': (
        321,
        FRACTIONS,
        [
            '17805/2537/5165',
            '17709/2441/5069',
            '17565/2297/4925',
            '17181/1913/4541',
        ],
    ),
    'traffic': (
        862,
        FRACTIONS,
        [
            '11673/1661/3413',
            '11577/1565/3317',
            '11433/1421/3173',
            '11049/1037/2789',
        ],
    ),
}


@pytest.mark.parametrize('name', WINDOWS)
def test_windows(name):
    path = SERIES / f'{name}.csv.gz'
    if not path.is_file():
        pytest.skip(f'no table at {path}')
    variates, borders, counts = WINDOWS[name]
    table = read_table(path, irregular=name == 'weather')
    assert len(table.variates) == variates
    assert table.variates[-1] == 'OT'
    for horizon, count in zip(HORIZONS, counts, strict=True):
        found = [
            SeriesDataset(
                table=table,
                split=split,
                look_back=512,
                horizon=horizon,
                borders=borders,
            )
            for split in ('train', 'val', 'test')
        ]
        assert '/'.join(str(len(windows)) for windows in found) == count


@pytest.mark.skipif(not SERIES.is_dir(), reason=f'no tables at {SERIES}')
def test_weather_has_a_doubled_date():
    with pytest.raises(ValueError, match=r'is in two rows.*`irregular=True`'):
        read_table(SERIES / 'weather.csv.gz')
