"""Ridge regression from the look-back to the horizon, over every window of a series.

Letters in shapes: n rows of a series, m variates, t look-back, h horizon, w windows
(`n - t - h + 1`, at stride 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CENTRES = ('mean', 'last')
FIRST_DECADE, LAST_DECADE = 1, 6
"""Powers of ten: penalties lie between them."""
SHRINKAGES = (1e2, 1e3, 1e4, 1e5, 1e6, np.inf)


def penalty_grid(per_decade: int = 1) -> tuple[float, ...]:
    """Return penalties from 10 to 1e6, so many for each factor of ten."""
    count = (LAST_DECADE - FIRST_DECADE) * per_decade + 1
    return tuple(10 ** (FIRST_DECADE + i / per_decade) for i in range(count))


PENALTIES = penalty_grid()


@dataclass(frozen=True)
class RidgeStatistics:
    """Sums over windows, of one variate or of several, that a ridge fit needs.

    `x` is a look-back and `y` its target, both less the centre of the look-back.

    Args:
        windows: How many windows were summed.
        gram: Sum of `x x^T`, `(t, t)`.
        cross: Sum of `x y^T`, `(t, h)`.
        square: Sum of `y^T y`.
    """

    windows: int
    gram: NDArray
    cross: NDArray
    square: float

    def __add__(self, other: 'RidgeStatistics') -> 'RidgeStatistics':
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return RidgeStatistics(*(a + b for a, b in pairs))

    def squared_error(self, weight: NDArray) -> float:
        """Return the squared error of `y = weight^T x` over all windows."""
        error = self.square - 2 * np.vdot(weight, self.cross)
        return float(error + np.vdot(weight, self.gram @ weight))


@dataclass(frozen=True)
class RidgeFit:
    """A linear map from look-back to horizon, and how it was chosen.

    Args:
        weight: `(t, h)`, or `(m, t, h)` with one map a variate.
        centre: What was subtracted: the 'mean' or the 'last' value of a look-back.
        penalty: lambda, in un-normalised sums.
        shrinkage: mu, or None where one map is shared.
        val_mse: Mean squared error over the validation windows.
    """

    weight: NDArray
    centre: str
    penalty: float
    shrinkage: float | None
    val_mse: float


def used_windows(
    shape: tuple[int, int],
    look_back: int,
    horizon: int,
    *,
    scored: NDArray | None = None,
    sound: NDArray | None = None,
) -> NDArray:
    """Return which windows of which variate may be summed, `(w, m)` bool.

    Args:
        shape: Of the series, (n, m).
        look_back: t, in rows.
        horizon: h, in rows.
        scored: Cells that count as targets, `(n, m)` bool; None means all.
        sound: Cells that may stand in a look-back, `(n, m)` bool; None means all.
    """
    rows, variates = shape
    windows = rows - look_back - horizon + 1
    used = np.ones((windows, variates), bool)
    for cells, first, length in ((sound, 0, look_back), (scored, look_back, horizon)):
        if cells is not None:
            bad = np.zeros((rows + 1, variates), np.int64)
            np.cumsum(~cells, axis=0, out=bad[1:])
            inside = bad[first + length :] - bad[first : rows + 1 - length]
            used &= inside[:windows] == 0
    return used


def window_statistics(
    series: NDArray,
    look_back: int,
    horizon: int,
    *,
    centre: str,
    used: NDArray | None = None,
) -> RidgeStatistics:
    """Return the sums over the windows of one variate, in float64.

    Neighbouring windows share all values but one, so the products of two places differ
    from those of the next two places by the windows at which a run of used windows
    begins or ends. The first row of the products and these differences give them all,
    with no copy of any window.

    Args:
        series: Values of one variate, `(n,)`, finite.
        look_back: t, in rows.
        horizon: h, in rows.
        centre: Subtract the 'mean' or the 'last' value of each look-back.
        used: Windows to be summed, `(w,)` bool; None means all.

    Raises:
        ValueError: If a row is not finite.
    """
    length = look_back + horizon
    values = np.asarray(series, np.float64)
    if not np.isfinite(values).all():
        raise ValueError('a ridge fit needs finite rows: fill gaps and mask them')
    values = values - values.mean()  # the centre takes it away again; fewer digits lost
    windows = len(values) - length + 1
    if used is None:
        used = np.ones(windows, bool)
    weights = used.astype(np.float64)

    first = np.correlate(values, weights * values[:windows], 'valid')  # (t + h,)
    edges = np.diff(weights, prepend=0, append=0)  # +1 a run begins, -1 it has ended
    at = np.flatnonzero(edges)
    ends = values[at[:, None] + np.arange(length - 1)]  # (edges, t + h - 1)
    steps = -(ends * edges[at, None]).T @ ends
    products = np.empty((length, length))
    products[0] = products[:, 0] = first
    for place in range(1, length):
        products[place, 1:] = products[place - 1, :-1] + steps[place - 1]

    taken = np.zeros(length)  # the centre of a window is `taken @ window`
    taken[:look_back] = centre_weights(look_back, centre)
    products -= np.outer(products @ taken, np.ones(length))
    products -= np.outer(np.ones(length), taken @ products)
    return RidgeStatistics(
        windows=int(used.sum()),
        gram=products[:look_back, :look_back],
        cross=products[:look_back, look_back:],
        square=float(np.trace(products[look_back:, look_back:])),
    )


def centre_weights(look_back: int, centre: str) -> NDArray:
    """Return the weights `(t,)` with which a look-back gives its centre.

    Raises:
        ValueError: If `centre` is neither 'mean' nor 'last'.
    """
    if centre not in CENTRES:
        raise ValueError(f"centre must be 'mean' or 'last', got {centre!r}")
    if centre == 'mean':
        return np.full(look_back, 1 / look_back)
    weights = np.zeros(look_back)
    weights[-1] = 1
    return weights


class Trial(NamedTuple):
    """Windows to fit a map to, and others to judge it by; sums, one a variate."""

    train: Sequence[RidgeStatistics]
    val: Sequence[RidgeStatistics]


def fit_ridge(
    train: Sequence[RidgeStatistics],
    val: Sequence[RidgeStatistics],
    *,
    centre: str,
    penalties: Sequence[float] = PENALTIES,
    shrinkages: Sequence[float] | None = None,
    blocks: Sequence[Trial] = (),
) -> RidgeFit:
    """Fit a linear map by ridge regression; choose its penalties by validation.

    The shared map is `(G + lambda I)^-1 R` of the sums over all variates. The map of
    variate c is `(G_c + mu I)^-1 (R_c + mu W)`, shrunk to the shared map `W`; mu is one
    for all variates, and infinity means the shared map. The penalties with the least
    squared error over the validation windows, and those of all `blocks`, are taken.

    Args:
        train: Sums over the training windows, one a variate.
        val: Sums over the validation windows, one a variate.
        centre: The centre of both, kept in the result.
        penalties: Values of lambda to choose from.
        shrinkages: Values of mu to choose from; None fits one shared map.
        blocks: More trials of penalties, as blocks held out of the training windows. A
            penalty is scaled there by the share of windows that are left.

    Raises:
        ValueError: If splits differ in variates, or one of them has no window.

    Reference: ordinary ridge regression; as a bar for forecasters, "linear" of
    arXiv:2205.13504 in closed form.
    """
    trials = [Trial(train, val), *blocks]
    for trial in trials:
        if not len(trial.train) == len(trial.val) == len(train):
            raise ValueError(
                'train, val and blocks must have the same variates, got '
                f'{len(trial.train)} and {len(trial.val)} beside {len(train)}'
            )
    sums = [(total(one.train, 'train'), total(one.val, 'val')) for one in trials]
    scales = [one.windows / sums[0][0].windows for one, _ in sums]
    parts = [Decomposed.of(one) for one, _ in sums]

    def shared(trial: int, penalty: float) -> NDArray:
        return parts[trial].solve(penalty * scales[trial])

    def error_of(penalty: float) -> float:
        return sum(
            val.squared_error(shared(i, penalty)) for i, (_, val) in enumerate(sums)
        )

    penalty = min(penalties, key=error_of)
    weight, shrinkage, (_, judged) = shared(0, penalty), None, sums[0]
    error = judged.squared_error(weight)
    if shrinkages is not None:
        shrunk = [
            ShrunkMaps(trial, shared(i, penalty), scales[i])
            for i, trial in enumerate(trials)
        ]
        shrinkage = float(
            min(
                shrinkages,
                key=lambda mu: sum(maps.squared_error(mu) for maps in shrunk),
            )
        )
        weight, error = shrunk[0].weights(shrinkage), shrunk[0].squared_error(shrinkage)
    val_mse = error / (judged.windows * weight.shape[-1])
    return RidgeFit(weight, centre, float(penalty), shrinkage, val_mse)


def total(statistics: Sequence[RidgeStatistics], split: str) -> RidgeStatistics:
    """Return the sum over variates; refuse a split without a window."""
    summed = statistics[0]
    for one in statistics[1:]:
        summed = summed + one
    if summed.windows == 0:
        raise ValueError(
            f'no window of the {split} split can be used: its values are missing'
        )
    return summed


class Decomposed(NamedTuple):
    """Sums over windows, ready for any penalty.

    Args:
        values: Eigenvalues of the products of inputs, `(t,)`.
        vectors: Their eigenvectors Q, `(t, t)`.
        cross: `Q^T R`, `(t, h)`.
    """

    values: NDArray
    vectors: NDArray
    cross: NDArray

    @classmethod
    def of(cls, statistics: RidgeStatistics) -> 'Decomposed':
        """Return what a ridge fit needs of the sums."""
        values, vectors = np.linalg.eigh((statistics.gram + statistics.gram.T) / 2)
        return cls(values.clip(min=0), vectors, vectors.T @ statistics.cross)

    def solve(self, penalty: float, shared: NDArray | None = None) -> NDArray:
        """Return the map `(t, h)`, shrunk to `shared`, or to 0 without it."""
        cross = self.cross
        if shared is not None:
            cross = cross + penalty * (self.vectors.T @ shared)
        return self.vectors @ (cross / (self.values + penalty)[:, None])


class ShrunkMaps:
    """Maps of the variates, shrunk to a shared one, for any mu.

    Args:
        trial: Sums to fit to and to judge by.
        shared: The shared map, `(t, h)`.
        scale: By which mu is multiplied.
    """

    def __init__(self, trial: Trial, shared: NDArray, scale: float) -> None:
        self.val, self.shared, self.scale = trial.val, shared, scale
        self.parts = [Decomposed.of(one) for one in trial.train]

    def weights(self, mu: float) -> NDArray:
        """Return the maps, `(m, t, h)`."""
        return np.stack([self._map(part, mu) for part in self.parts])

    def squared_error(self, mu: float) -> float:
        """Return the squared error over the windows to judge by."""
        return sum(
            val.squared_error(self._map(part, mu))
            for val, part in zip(self.val, self.parts, strict=True)
        )

    def _map(self, part: Decomposed, mu: float) -> NDArray:
        if not np.isfinite(mu):
            return self.shared
        return part.solve(mu * self.scale, self.shared)
