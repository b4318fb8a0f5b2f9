"""Scaling of series to mean 0 and standard deviation 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and population standard deviation of each variate, float64.

    Args:
        mean: In the units of the variate, `(m,)` or any other shape of one row.
        std: Likewise; 1 where a variate is constant.
    """

    mean: NDArray
    std: NDArray

    @classmethod
    def fit(cls, rows: NDArray, names: Sequence[str] | None = None) -> 'Standardiser':
        """Return the scaling of some rows, of those values that are there.

        Args:
            rows: `(n, m)`, NaN where a value is missing; only train rows.
            names: Names of the variates, for the message.

        Raises:
            ValueError: If a variate has no value in these rows.
        """
        rows = np.asarray(rows, np.float64)
        missing = np.isnan(rows).all(axis=0)
        if missing.any():
            place = int(np.flatnonzero(missing)[0])
            name = names[place] if names is not None and missing.ndim == 1 else place
            raise ValueError(
                f'variate {name!r} has no value in the train rows: '
                'remove its column, or move the borders'
            )
        constant = np.nanmax(rows, axis=0) == np.nanmin(rows, axis=0)
        mean = np.nanmean(rows, axis=0)
        # rounding leaves a constant variate a tiny deviation
        return cls(mean, np.where(constant, 1.0, np.nanstd(rows, axis=0)))

    def transform(self, values: NDArray) -> NDArray:
        """Return values in own units as scaled ones, `(..., m)`."""
        return (values - self.mean) / self.std

    def inverse(self, scaled: NDArray) -> NDArray:
        """Return scaled values in own units, `(..., m)`."""
        return scaled * self.std + self.mean

    def state(self) -> dict[str, list]:
        """Return mean and std as plain lists, for a checkpoint."""
        return dict(mean=self.mean.tolist(), std=self.std.tolist())

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> 'Standardiser':
        """Return the scaling that `state` described."""
        return cls(*(np.asarray(state[name], np.float64) for name in ('mean', 'std')))
