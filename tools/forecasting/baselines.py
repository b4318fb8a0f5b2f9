"""Repeat-last and ridge, scored as the trained models are, without a training."""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import DataLoader

from mmmambamixer.engine.config import load_config
from mmmambamixer.evaluation import ForecastMetric
from mmmambamixer.forecast.fit_linear import fit_linear_path
from mmmambamixer.models.forecasters import LinearForecaster, RepeatLast
from mmmambamixer.registry import DATASETS

from .cells import config_of
from .results import Results

BASELINES = {'repeat-last': RepeatLast, 'ridge': LinearForecaster}


def run_baselines(results: Results, cell: str) -> None:
    """Score repeat-last and ridge, one linear map for all variates, without seed."""
    for model, kind in BASELINES.items():
        if not results.has(cell, [model], '-'):
            found, _ = score_baseline(load_config(*config_of(cell)), kind)
            results.add(cell, model, '-', found, 'forecast')


@torch.no_grad()
def score_baseline(config: Config, kind: type[nn.Module]) -> tuple[dict, int]:
    """Return the errors of a baseline on the test windows, and their number.

    Args:
        config: Of a forecaster, whose sizes and data the baseline gets.
        kind: One of `BASELINES`.
    """
    init_default_scope(config.default_scope)
    sizes = ('look_back', 'horizon', 'variates', 'targets')
    model = kind(**{key: config.model.get(key) for key in sizes})
    if kind is LinearForecaster:
        loaders = config.train_dataloader, config.val_dataloader
        fit_linear_path(
            model.linear_path, *(DATASETS.build(x.dataset) for x in loaders)
        )
    windows, metric = DATASETS.build(config.test_dataloader.dataset), ForecastMetric()
    for batch in DataLoader(windows, batch_size=128, collate_fn=default_collate):
        metric.process(None, model(**batch, mode='predict'))
    return metric.evaluate(len(windows)), len(windows)


def print_summary(config: str, path: Path) -> None:
    """Print the errors of a tested TSM2 beside repeat-last and its linear path alone.

    Args:
        config: File of the model.
        path: JSON file of its metrics; repeat-last is computed on the same windows.
    """
    tested = json.loads(path.read_text())
    naive, count = score_baseline(load_config(config), RepeatLast)
    print(f'{count} test windows, scaled values{"MSE":>15}{"MAE":>9}')
    for name, found, prefix in (
        ('repeat-last', naive, 'forecast'),
        ('ridge (its linear path alone)', tested, 'line'),
        ('TSM2', tested, 'forecast'),
    ):
        mse, mae = (found[f'{prefix}/{error}'] for error in ('mse', 'mae'))
        print(f'{name:36}{mse:9.4f}{mae:9.4f}')
