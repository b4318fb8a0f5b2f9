"""Whether the arguments of a forecaster make a network."""

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from ...arguments import (
    check_choice,
    check_flags,
    check_keys,
    check_rates,
    check_whole,
    is_whole,
)
from ..layers.series.instance_norm import CENTRES
from ..layers.series.sequence_mixer import SEQUENCE_ROUTES

SIZES = ('d_model', 'depth', 'expand', 'd_state', 'patch_len', 'stride')
COUNTS = ('future_covariates', 'static_features')
FLAGS = (
    *('averaging', 'instance_norm', 'affine', 'variate_embed'),
    *('sign_flip', 'mirror'),
)
CHOICES = dict(
    time_scans=SEQUENCE_ROUTES, variate_scans=SEQUENCE_ROUTES, centre=CENTRES
)
LINEAR_PATH = ('maps', 'centre', 'penalties_per_decade', 'blocks', 'trainable')
"""Keys of the argument `linear_path`."""


def check_network(given: Mapping) -> None:
    """Raise ValueError unless the arguments of TSM2, by their names, fit."""
    check_whole(**{name: given[name] for name in SIZES})
    check_whole(0, **{name: given[name] for name in COUNTS})
    check_flags(**{name: given[name] for name in FLAGS})
    check_rates(dropout=given['dropout'])
    for name, choices in CHOICES.items():
        check_choice(name, given[name], choices)
    if given['linear_path'] is not None:
        check_keys('linear_path', given['linear_path'], LINEAR_PATH)
    sign_flip, quantiles = given['sign_flip'], given['quantiles']
    if sign_flip and given['future_covariates']:
        raise ValueError(
            'sign_flip=True negates the series but not their covariates: it needs '
            f'future_covariates=0, got {given["future_covariates"]}'
        )
    if given['mirror'] and (quantiles is not None or not sign_flip):
        raise ValueError(
            'mirror=True needs sign_flip=True and no quantiles, got '
            f'sign_flip={sign_flip}, quantiles={quantiles}: set mirror=False'
        )


def check_targets(targets: Sequence[int] | None, variates: int) -> list[int] | None:
    """Return the targets as a list, None as it is.

    Raises:
        ValueError: If they are no different indices of variates, one at least.
    """
    if targets is None:
        return None
    row = isinstance(targets, (Sequence, np.ndarray)) and len(targets) > 0
    if not row or not all(is_whole(i, 0) and i < variates for i in targets):
        raise ValueError(
            f'targets must be a list of indices below variates={variates}, or None '
            f'for all, got {targets!r}'
        )
    if len({*targets}) < len(targets):
        raise ValueError(f'targets must name each variate once, got {targets!r}')
    return list(targets)


def check_quantiles(quantiles: Sequence[float] | None) -> list[float] | None:
    """Return the levels of quantiles.

    Raises:
        ValueError: If they are not ascending, between 0 and 1, with 0.5 among them.
    """
    if quantiles is None:
        return None
    row = isinstance(quantiles, (Sequence, np.ndarray))
    levels = list(quantiles) if row else []
    numbers = all(isinstance(q, Real) and 0 < q < 1 for q in levels)
    if not numbers or levels != sorted(set(levels)) or 0.5 not in levels:
        raise ValueError(
            'quantiles must ascend between 0 and 1 and hold 0.5, the point forecast, '
            f'got {quantiles}'
        )
    return levels
