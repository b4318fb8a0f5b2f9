"""The config of a forecaster that is trained from Python."""

from collections.abc import Mapping
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any
from uuid import uuid4

from mmengine.config import Config

from ..datasets import SeriesTable

PACKAGE = Path(__file__).parents[1]
BASE = PACKAGE / '.mim/configs/_base_/tsm2/tsm2.py'


def base_config() -> Config:
    """Return the config that all forecasting configs share.

    Raises:
        FileNotFoundError: If the package was installed without its configs.
    """
    if not BASE.is_file():
        raise FileNotFoundError(
            f'no config at {BASE}: install the package with pip, which puts it there'
        )
    return Config.fromfile(BASE)


def training_config(
    *,
    settings: Mapping[str, Any],
    table: SeriesTable,
    borders: tuple[int, int, int],
    covariates: tuple[int, int],
    work_dir: str,
) -> Config:
    """Return the config of a training.

    Args:
        settings: Arguments of `SeriesForecaster`.
        table: To train on, with a row at every date.
        borders: Ends of the train, val and test rows.
        covariates: Numbers of future covariates and of static features.
        work_dir: Folder of its checkpoints.
    """
    config = base_config()
    sizes = dict(look_back=settings['look_back'], horizon=settings['horizon'])
    dataset = dict(sizes, table=table, borders=borders, gaps='fill')
    for name in ('future', 'static'):
        if settings[name] is not None:
            dataset[name] = settings[name]
    changes = dict(sizes, quantiles=settings['quantiles'])
    changes['variates'] = len(table.variates)
    longest = min(config.model.patch_len, settings['look_back'])
    patch_len = (settings['model'] or {}).get('patch_len', longest)
    changes.update(patch_len=patch_len, stride=min(config.model.stride, patch_len))
    future, static = covariates
    if future:
        changes.update(future_covariates=future, sign_flip=False)
    changes['mirror'] = not (future or settings['quantiles'])
    if static:
        changes.update(static_features=static)
    config.model.update({**changes, **(settings['model'] or {})})
    for part in ('train', 'val', 'test'):
        windows = config[f'{part}_dataloader'].dataset
        windows.pop('path', None)  # the table takes its place
        windows.update(dataset)
    loader = config.train_dataloader
    loader.batch_size = settings['batch_size']
    loader.sampler.max_windows = settings['max_windows']
    windows = borders[0] - sizes['look_back'] - sizes['horizon'] + 1
    windows = min(windows, settings['max_windows'])
    schedule(config, settings['epochs'], -(-windows // settings['batch_size']))
    score(config, settings['quantiles'])
    config.randomness = dict(seed=settings['seed'])
    config.env_cfg = dict(mp_cfg=dict(mp_start_method=get_start_method()))
    config.work_dir, config.log_level = work_dir, 'ERROR'
    config.experiment_name = f'forecast_{uuid4().hex}'  # no two runs share their logs
    return config


def schedule(config: Config, epochs: int, steps: int) -> None:
    """Set epochs and learning rates, in steps, so that short epochs have them too."""
    warmup = max(1, steps // 5)
    total = max(warmup + 1, epochs * steps)
    config.train_cfg.max_epochs = epochs
    first, second = config.param_scheduler
    for part, begin, end in ((first, 0, warmup), (second, warmup, total)):
        part.update(begin=begin, end=end, by_epoch=False)
        part.pop('convert_to_iter_based', None)


def score(config: Config, quantiles: list[float] | None) -> None:
    """Choose the checkpoint by the blend, or by the forecast where nothing blends."""
    hooks, best, metrics = config.custom_hooks, 'blend/mse', [dict(type='BlendMetric')]
    if config.model.get('linear_path') is None:
        hooks, best, metrics = config.paper_hooks, 'forecast/mse', []
    forecasts = dict(type='ForecastMetric', quantiles=quantiles or ())
    config.val_evaluator = [forecasts, *metrics]
    config.default_hooks.checkpoint.save_best = best
    # signals are the affair of the program that calls this
    config.custom_hooks = [dict(type='InterruptionHook', signals=()), *hooks]


def forecasting_config(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return the parts of a config that forecasting takes, without paths of training.

    Args:
        config: From `training_config`.
        settings: Arguments of `SeriesForecaster`, which come with it.
    """
    dataset = {
        key: value
        for key, value in config.test_dataloader.dataset.to_dict().items()
        if key in ('type', 'look_back', 'horizon', 'future', 'static')
    }
    dataset.update(gaps=settings['gaps'], long=settings['long'])
    return Config(
        dict(
            custom_imports=config.custom_imports.to_dict(),
            default_scope=config.default_scope,
            model=config.model.to_dict(),
            test_dataloader=dict(dataset=dataset),
            forecaster=dict(settings),
        )
    )
