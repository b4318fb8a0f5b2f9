"""Repeat-last and ridge on the field's tables, against errors computed elsewhere.

The tables are found through the variable MMMAMBAMIXER_DATA.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader

from mmmambamixer.datasets import (
    ETT_HOUR,
    ETT_MINUTE,
    FRACTIONS,
    SeriesDataset,
    read_table,
)
from mmmambamixer.evaluation import ForecastMetric
from mmmambamixer.forecast.fit_linear import fit_linear_path
from mmmambamixer.models.forecasters import LinearForecaster, RepeatLast
from mmmambamixer.models.layers.series.ridge import (
    PENALTIES,
    fit_ridge,
    total,
    window_statistics,
)

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get('MMMAMBAMIXER_DATA', ROOT / 'data'))
SERIES = DATA / 'timeseries'
LOOK_BACK = 512
HORIZONS = (96, 192, 336, 720)
BORDERS = {
    'ETTh1': ETT_HOUR,
    'ETTh2': ETT_HOUR,
    'ETTm1': ETT_MINUTE,
    'ETTm2': ETT_MINUTE,
    'weather': FRACTIONS,
    'exchange_rate': FRACTIONS,
}
# Test MSE at look-back 512, horizons 96, 192, 336, 720, from a program of its own that
# copies every window. `variate`: one map a variate, Weather without its sentinels.
WANTED = {
    'ETTh1': dict(
        last=(1.294, 1.325, 1.330, 1.335),
        ridge=(0.3672, 0.3994, 0.4185, 0.4182),
        variate=(0.3672, 0.3994, 0.4185, 0.4182),
    ),
    'ETTh2': dict(
        last=(0.432, 0.534, 0.597, 0.595),
        ridge=(0.2673, 0.3276, 0.3532, 0.3774),
        variate=(0.2673, 0.3276, 0.3532, 0.3774),
    ),
    'ETTm1': dict(
        last=(1.214, 1.261, 1.287, 1.322),
        ridge=(0.3038, 0.3359, 0.3666, 0.4202),
        variate=(0.2922, 0.3343, 0.3685, 0.4245),
    ),
    'ETTm2': dict(
        last=(0.267, 0.340, 0.412, 0.522),
        ridge=(0.1628, 0.2176, 0.2705, 0.3589),
        variate=(0.1616, 0.2166, 0.2705, 0.3589),
    ),
    'weather': dict(
        last=(0.259, 0.309, 0.376, 0.465),
        ridge=(0.1705, 0.2144, 0.2605, 0.3261),
        variate=(0.1419, 0.1859, 0.2369, 0.3101),
    ),
    'exchange_rate': dict(
        last=(0.0811, 0.1671, 0.3057, 0.8101),
        ridge=(0.0839, 0.1730, 0.3191, 1.067),
        variate=(0.0836, 0.1728, 0.3236, 1.070),
    ),
}
SHARED_PENALTIES = tuple(penalty for penalty in PENALTIES if penalty != 1e2)
SPLITS = ('train', 'val', 'test')
CELLS = [
    pytest.param(
        name,
        horizon,
        marks=() if (name, horizon) in (('ETTh2', 96),) else pytest.mark.slow,
    )
    for name in BORDERS
    for horizon in HORIZONS
]
TOLERANCE = 6e-4
"""0.0005, and what some of the numbers were rounded by."""
needs_tables = pytest.mark.skipif(not SERIES.is_dir(), reason=f'no tables at {SERIES}')


@pytest.fixture(autouse=True)
def one_thread():
    """Threads of OpenBLAS wait for each other where other programs run."""
    with threadpool_limits(1):
        yield


def datasets(name: str, horizon: int) -> dict[str, SeriesDataset]:
    table = read_table(SERIES / f'{name}.csv.gz', irregular=name == 'weather')
    return {
        split: SeriesDataset(
            table=table,
            split=split,
            look_back=LOOK_BACK,
            horizon=horizon,
            borders=BORDERS[name],
            missing_values=(-9999,),
        )
        for split in SPLITS
    }


def statistics(dataset: SeriesDataset, centre: str) -> list:
    rows = dataset.fit_rows()['rows']
    return [
        window_statistics(column, LOOK_BACK, dataset.horizon, centre=centre)
        for column in rows.T
    ]


def closed_form_errors(name: str, horizon: int) -> dict[str, float]:
    """Return the test MSE of each, from sums over all test windows."""
    parts = datasets(name, horizon)
    last = total(statistics(parts['test'], 'last'), 'test')
    sums = {split: statistics(parts[split], 'mean') for split in SPLITS}
    test = total(sums['test'], 'test')
    errors = dict(last=last.square / (last.windows * horizon))
    fit = fit_ridge(
        sums['train'], sums['val'], centre='mean', penalties=SHARED_PENALTIES
    )
    errors['ridge'] = test.squared_error(fit.weight) / (test.windows * horizon)
    variates = len(parts['test'].table.variates)
    model = LinearForecaster(
        look_back=LOOK_BACK, horizon=horizon, variates=variates, maps='variate'
    )
    fit_linear_path(model.linear_path, parts['train'], parts['val'])
    weights = model.linear_path.weight.double().numpy()
    squares = [
        one.squared_error(weight)
        for one, weight in zip(sums['test'], weights, strict=True)
    ]
    errors['variate'] = sum(squares) / (test.windows * horizon)
    return errors


@needs_tables
@pytest.mark.parametrize(('name', 'horizon'), CELLS)
def test_closed_forms_reach_the_known_errors(name, horizon):
    column = HORIZONS.index(horizon)
    wanted = {kind: row[column] for kind, row in WANTED[name].items()}
    found = closed_form_errors(name, horizon)
    print(name, horizon, {kind: round(error, 4) for kind, error in found.items()})
    assert found == {k: pytest.approx(v, abs=TOLERANCE) for k, v in wanted.items()}


@needs_tables
@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'horizon', 'mse', 'mae'),
    [('ETTh1', 96, 0.3672, 0.391), ('exchange_rate', 720, 1.067, 0.782)],
)
def test_forecasts_and_sums_agree(name, horizon, mse, mae):
    """What the metric finds over single forecasts is what the sums say."""
    parts = datasets(name, horizon)
    sizes = dict(look_back=LOOK_BACK, horizon=horizon)
    sizes |= dict(variates=len(parts['test'].table.variates))
    ridge = LinearForecaster(**sizes)
    rows = {split: parts[split].fit_rows()['rows'] for split in SPLITS}
    ridge.linear_path.fit(rows['train'], rows['val'], penalties=SHARED_PENALTIES)
    wanted = closed_form_errors(name, horizon)
    for kind, model in (('last', RepeatLast(**sizes)), ('ridge', ridge)):
        metric = ForecastMetric()
        for batch in DataLoader(parts['test'], batch_size=256):
            with torch.no_grad():
                metric.process(batch, model(**batch, mode='predict'))
        found = metric.evaluate(len(parts['test']))
        np.testing.assert_allclose(found['forecast/mse'], wanted[kind], rtol=1e-5)
    assert found['forecast/mse'] == pytest.approx(mse, abs=TOLERANCE)
    assert found['forecast/mae'] == pytest.approx(mae, abs=TOLERANCE)
