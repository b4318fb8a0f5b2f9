"""Settings of a forecaster that is trained from Python."""

from collections.abc import Mapping, Sequence
from inspect import signature
from numbers import Real
from pathlib import Path

import numpy as np

from ..arguments import check_flags, check_keys, check_whole, is_whole
from ..datasets.covariates import check_future, check_static
from ..datasets.gaps import check_gaps
from ..registry import MODELS
from .layout import LONG

SIZES = ('look_back', 'horizon', 'epochs', 'max_windows', 'batch_size')
MOST_SEED = 2**32 - 1
"""NumPy takes no larger one."""


def check_settings(settings: Mapping) -> None:
    """Raise ValueError unless the arguments of a `SeriesForecaster` fit."""
    check_whole(**{name: settings[name] for name in SIZES})
    part = settings['val_fraction']
    if not isinstance(part, Real) or not 0 < float(part) < 1:
        raise ValueError(f'val_fraction must be between 0 and 1, got {part!r}')
    check_gaps(settings['gaps'])
    check_levels(settings['quantiles'])
    check_model(settings['model'], settings['look_back'])
    if settings['long'] is not None:
        check_keys('long', settings['long'], LONG)
    if settings['future'] is not None:
        check_future(settings['future'])
    if settings['static'] is not None:
        check_static(settings['static'])
    seed = settings['seed']
    if not is_whole(seed, 0) or seed > MOST_SEED:
        raise ValueError(f'seed must be an integer from 0 to {MOST_SEED}, got {seed!r}')
    check_flags(progress=settings['progress'])


def check_levels(quantiles) -> None:
    """Raise ValueError unless it is a row of numbers, or None."""
    levels = [] if quantiles is None else quantiles
    row = isinstance(levels, (Sequence, np.ndarray))
    if not row or not all(isinstance(level, Real) for level in levels):
        raise ValueError(
            f'quantiles must be numbers such as [0.1, 0.5, 0.9], got {quantiles!r}'
        )


def check_model(model: Mapping | None, look_back: int) -> None:
    """Raise ValueError unless they are arguments of TSM2, its patches no longer."""
    if model is None:
        return
    check_keys('model', model, signature(MODELS.get('TSM2')).parameters)
    patch_len = model.get('patch_len', 1)
    check_whole(patch_len=patch_len)
    if look_back < patch_len:
        raise ValueError(
            f'look_back={look_back} is shorter than the patches of the model, '
            f'patch_len={patch_len}'
        )


def plain(value):
    """Return settings as plain data, which a config file can hold."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
