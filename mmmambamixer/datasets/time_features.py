"""Features of the calendar, which are known of any date."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DAY = np.timedelta64(1, 'D')
# name -> (count of values, lowest step at which it says nothing, value from 0)
FEATURES: dict[str, tuple[int, np.timedelta64, Callable[[NDArray], NDArray]]] = {
    'minute': (60, np.timedelta64(1, 'h'), lambda dates: within(dates, 'h', 'm')),
    'hour': (24, DAY, lambda dates: within(dates, 'D', 'h')),
    # 1970-01-01 was a Thursday; Monday is 0
    'day_of_week': (7, 7 * DAY, lambda dates: (whole(dates, 'D').astype(int) + 3) % 7),
    'day_of_month': (31, 28 * DAY, lambda dates: within(dates, 'M', 'D')),
    'day_of_year': (366, 365 * DAY, lambda dates: within(dates, 'Y', 'D')),
    'month': (12, 365 * DAY, lambda dates: within(dates, 'Y', 'M')),
}


def whole(dates: NDArray, unit: str) -> NDArray:
    """Return dates rounded down to a unit of the calendar."""
    return dates.astype(f'datetime64[{unit}]')


def within(dates: NDArray, outer: str, inner: str) -> NDArray:
    """Return how many inner units of an outer unit have passed, from 0."""
    begun = whole(whole(dates, outer), inner)
    return (whole(dates, inner) - begun).astype(int)


def varying_features(step: np.timedelta64) -> tuple[str, ...]:
    """Return the names of the features that vary from row to row of such a step."""
    return tuple(name for name, (_, bound, _) in FEATURES.items() if step < bound)


def time_features(dates: NDArray, names: tuple[str, ...]) -> NDArray:
    """Return features of the calendar, `(n, f)` float32 in [-0.5, 0.5].

    Args:
        dates: `(n,)` datetime64.
        names: Some of 'minute', 'hour', 'day_of_week' (from Monday), 'day_of_month',
            'day_of_year', 'month'.

    Raises:
        ValueError: If there is no such feature.

    Reference: the ranges are those of GluonTS and Informer, arXiv:2012.07436.
    """
    columns = []
    for name in names:
        if name not in FEATURES:
            raise ValueError(
                f'a time feature must be one of {", ".join(FEATURES)}, got {name!r}'
            )
        count, _, value = FEATURES[name]
        columns.append(value(dates) / (count - 1) - 0.5)
    return np.stack(columns, axis=1).astype(np.float32)
