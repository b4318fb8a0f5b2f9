"""Filling of values that are missing."""

import numpy as np
from numpy.typing import NDArray


def fill_forward(rows: NDArray, start: NDArray | float) -> NDArray:
    """Return rows without NaN: the value before, or `start` where there is none.

    Args:
        rows: `(n, ...)`.
        start: `(...)`, for gaps at the start.
    """
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    shape = (-1, *[1] * (rows.ndim - 1))
    places = np.where(missing, -1, np.arange(len(rows)).reshape(shape))
    places = np.maximum.accumulate(places, axis=0)
    filled = np.take_along_axis(rows, places.clip(min=0), axis=0)
    return np.where(places < 0, start, filled)
