"""Settings of a forecaster that is trained from Python."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from ..datasets.gaps import check_gaps

SIZES = ('look_back', 'horizon', 'epochs', 'max_windows', 'batch_size')


def check_settings(settings: Mapping) -> None:
    """Raise ValueError unless the arguments of a `SeriesForecaster` fit."""
    check_whole(**{name: settings[name] for name in SIZES})
    part = settings['val_fraction']
    if not isinstance(part, Real) or not 0 < float(part) < 1:
        raise ValueError(f'val_fraction must be between 0 and 1, got {part!r}')
    check_gaps(settings['gaps'])
    check_levels(settings['quantiles'])
    check_patches(settings['look_back'], settings['model'] or {})


def check_whole(**numbers) -> None:
    """Raise ValueError unless all are integers from 1, of Python or NumPy."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f'{name} must be an integer from 1, got {value!r}')


def check_levels(quantiles) -> None:
    """Raise ValueError unless it is a row of numbers, or None."""
    levels = [] if quantiles is None else quantiles
    row = isinstance(levels, (Sequence, np.ndarray))
    if not row or not all(isinstance(level, Real) for level in levels):
        raise ValueError(
            f'quantiles must be numbers such as [0.1, 0.5, 0.9], got {quantiles!r}'
        )


def check_patches(look_back: int, model: Mapping) -> None:
    """Raise ValueError if a look-back is shorter than a patch that was asked for."""
    patch_len = model.get('patch_len', 1)
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
