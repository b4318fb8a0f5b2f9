"""Errors over all windows: exact, whatever the batches are."""

import math

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import DefaultScope

from mmmambamixer.evaluation import ForecastMetric
from mmmambamixer.registry import METRICS

WINDOWS, HORIZON, VARIATES = 1001, 5, 3
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture
def forecasts():
    """Float64 forecasts of very different errors, some targets not observed."""
    shape = (WINDOWS, HORIZON, VARIATES)
    scale = torch.logspace(-3, 3, WINDOWS, dtype=torch.float64)[:, None, None]
    return dict(
        forecast=torch.randn(shape, dtype=torch.float64) * scale,
        target=torch.randn(shape, dtype=torch.float64),
        observed=torch.rand(shape) < 0.7,
        quantiles=torch.randn(WINDOWS, 3, *shape[1:], dtype=torch.float64).sort(1)[0],
    )


def samples(tensors) -> list[dict]:
    """Return one dict a window, as a model's val_step does."""
    windows = zip(*tensors.values(), strict=True)
    return [dict(zip(tensors, window, strict=True)) for window in windows]


def evaluated(windows, batch_size=32, **options) -> dict[str, float]:
    metric = ForecastMetric(**options)
    for begin in range(0, len(windows), batch_size):
        metric.process(None, windows[begin : begin + batch_size])
    return metric.evaluate(len(windows))


def test_errors_are_those_of_all_elements(forecasts):
    found = evaluated(samples(forecasts), quantiles=LEVELS)
    seen = forecasts['observed']
    target = forecasts['target'][seen]
    error = forecasts['forecast'][seen] - target
    pinball, inside = 0, torch.ones_like(target, dtype=torch.bool)
    for level, quantile in zip(LEVELS, forecasts['quantiles'].unbind(1), strict=True):
        missed = target - quantile[seen]
        loss = torch.where(missed > 0, level * missed, (level - 1) * missed)
        pinball += loss.mean().item() / 3
        if level != 0.5:
            inside &= missed >= 0 if level == 0.1 else missed <= 0
    wanted = dict(
        mse=error.square().mean().item(),
        mae=error.abs().mean().item(),
        rmse=error.square().mean().sqrt().item(),
        pinball=pinball,
        crps=2 * pinball,
        coverage=inside.double().mean().item(),
    )
    assert found == {f'forecast/{k}': pytest.approx(v) for k, v in wanted.items()}
    del forecasts['quantiles']
    names = {'forecast/mse', 'forecast/mae', 'forecast/rmse'}
    assert set(evaluated(samples(forecasts))) == names


@pytest.mark.parametrize('seed', range(5))
def test_quantiles_that_cross_are_sorted(forecasts, seed):
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(3, generator=random)
    crossed = forecasts | dict(quantiles=forecasts['quantiles'][:, order])
    found, wanted = (
        evaluated(samples(tensors), quantiles=LEVELS)
        for tensors in (crossed, forecasts)
    )
    assert found == wanted


def test_the_batch_size_changes_nothing(forecasts):
    windows = samples(forecasts)
    wanted = evaluated(windows, 1, quantiles=LEVELS)
    for batch_size in (7, 32, 1000):
        found = evaluated(windows, batch_size, quantiles=LEVELS)
        for name, value in found.items():
            assert math.isclose(value, wanted[name], rel_tol=1e-9), (batch_size, name)
    halves = [evaluated(windows[:7]), evaluated(windows[7:])]
    mean = sum(half['forecast/mse'] for half in halves) / 2
    assert abs(mean / wanted['forecast/mse'] - 1) > 0.1, 'a mean of means differs'


def test_sums_are_exact_in_float64():
    ones = torch.ones(300, 50, 50)
    windows = [dict(forecast=one + 1e-3, target=one) for one in ones]
    error = float(ones[0, 0, 0] + 1e-3) - 1
    found = evaluated(windows)
    assert math.isclose(found['forecast/mse'], error**2, rel_tol=1e-12)


def test_what_is_not_observed_may_be_nan(forecasts):
    del forecasts['quantiles']
    wanted = evaluated(samples(forecasts))
    forecasts['target'][~forecasts['observed']] = math.nan
    assert evaluated(samples(forecasts)) == wanted
    forecasts['observed'][:] = True
    assert math.isnan(evaluated(samples(forecasts))['forecast/mse'])


def test_padded_windows_count_once(forecasts):
    windows = samples(forecasts)
    metric = ForecastMetric()
    metric.process(None, windows + windows[:3])
    assert metric.evaluate(WINDOWS) == evaluated(windows)
    metric.process(None, windows)
    assert metric.evaluate(WINDOWS) == evaluated(windows), 'it starts anew'


def test_a_config_builds_it(forecasts, monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', {})  # that of another run
    windows = samples(forecasts)
    config = dict(type='ForecastMetric', quantiles=LEVELS, prefix='val')
    metric = METRICS.build(config)
    assert ROOT_METRICS.build(config | dict(type='mmmambamixer.ForecastMetric'))
    evaluator = Evaluator(metric)
    evaluator.process(windows)
    assert set(evaluator.evaluate(WINDOWS)) >= {'val/mse', 'val/crps'}


@pytest.mark.parametrize(
    'levels', [(0.9, 0.1), (0.5, 0.5), (0, 0.5), (0.5, 1), (10, 90)]
)
def test_refused_levels(levels):
    with pytest.raises(ValueError, match='quantiles must ascend between 0 and 1, got'):
        ForecastMetric(quantiles=levels)


def test_refused_samples(forecasts):
    windows = samples(forecasts)
    with pytest.raises(
        ValueError, match=r'needs a forecast of 2 quantiles, \(0.1, 0.9\), got 3'
    ):
        evaluated(windows, quantiles=(0.1, 0.9))
    del forecasts['quantiles']
    with pytest.raises(ValueError, match="needs 'quantiles' in each sample, got"):
        evaluated(samples(forecasts), quantiles=LEVELS)
    short = forecasts | dict(target=forecasts['target'][:, :4])
    with pytest.raises(ValueError, match=r'got \(5, 3\) and \(4, 3\)'):
        evaluated(samples(short))
    forecasts['observed'][:] = False
    with pytest.raises(ValueError, match='all targets of these windows are missing'):
        evaluated(samples(forecasts))
