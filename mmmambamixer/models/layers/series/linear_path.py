"""A linear map from look-back to horizon, fitted in closed form."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmmambamixer.arguments import check_flags, check_whole, is_whole

from .ridge import (
    CENTRES,
    SHRINKAGES,
    RidgeFit,
    Trial,
    centre_weights,
    fit_ridge,
    penalty_grid,
    used_windows,
    window_statistics,
)


class LinearPath(nn.Module):
    """Forecast `y = W^T (x - c) + c`, with `c` the centre of the look-back `x`.

    Shapes: `(b, t, m) -> (b, h, m)`: b windows, t look-back, m variates, h horizon. The
    weight starts as 0, so that the path repeats the centre. A map without a bias
    commutes with the scale of an instance normalisation.

    Args:
        look_back: t, in rows.
        horizon: h, in rows.
        variates: m, for one map a variate; None for one map that all share.
        centre: 'mean' or 'last' value of the look-back, or 'auto': the one with the
            lower validation error, which `fit` chooses ('mean' before).
        penalties_per_decade: Values of lambda that `fit` tries for each factor of ten.
        blocks: Parts of the train split that `fit` holds out one after another and
            judges penalties by, as well as by val; 0 is by val alone, and so is a
            train split with fewer windows than `blocks` look-backs and horizons.
            A part whose windows are all missing is passed over.
        trainable: Whether training changes the weight.

    Attributes:
        weight: `(t, h)`, or `(m, t, h)`; a parameter.
        centre_weights: `(t,)`; the centre is their product with a look-back. A buffer,
            so that a checkpoint holds what `fit` chose.

    Raises:
        ValueError: If a size is not positive or `centre` is none of the three.

    Differs from the paper: it has no linear path; TSM2 with it is not the paper's.
    """

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        variates: int | None = None,
        centre: str = 'mean',
        penalties_per_decade: int = 1,
        blocks: int = 0,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        check_whole(look_back=look_back, horizon=horizon)
        check_whole(penalties_per_decade=penalties_per_decade)
        if variates is not None:
            check_whole(variates=variates)
        if not is_whole(blocks, 0) or blocks == 1:
            raise ValueError(f'blocks must be 0 or at least 2, got {blocks!r}')
        check_flags(trainable=trainable)
        if centre not in (*CENTRES, 'auto'):
            raise ValueError(f"centre must be 'mean', 'last' or 'auto', got {centre!r}")
        self.look_back, self.horizon, self.variates = look_back, horizon, variates
        self.centre, self.penalties_per_decade = centre, penalties_per_decade
        self.blocks = blocks
        shape = (
            (look_back, horizon) if variates is None else (variates, look_back, horizon)
        )
        self.weight = nn.Parameter(torch.zeros(shape), requires_grad=trainable)
        start = 'mean' if centre == 'auto' else centre
        values = torch.from_numpy(centre_weights(look_back, start)).float()
        self.register_buffer('centre_weights', values)

    def extra_repr(self) -> str:
        return (
            f'look_back={self.look_back}, horizon={self.horizon}, '
            f'variates={self.variates}, centre={self.centre!r}, '
            f'penalties_per_decade={self.penalties_per_decade}, blocks={self.blocks}'
        )

    def forward(self, x: Tensor) -> Tensor:
        centre = (x * self.centre_weights[:, None]).sum(1, keepdim=True)  # (b, 1, m)
        if self.variates is None:
            mapped = torch.einsum('btm,th->bhm', x - centre, self.weight)
        else:
            mapped = torch.einsum('btm,mth->bhm', x - centre, self.weight)
        return mapped + centre

    @torch.no_grad()
    def fit(
        self,
        train: NDArray,
        val: NDArray,
        *,
        train_scored: NDArray | None = None,
        train_sound: NDArray | None = None,
        val_scored: NDArray | None = None,
        penalties: Sequence[float] | None = None,
        shrinkages: Sequence[float] = SHRINKAGES,
    ) -> dict:
        """Set the weight in closed form from every window of two splits.

        Args:
            train: Scaled rows of the train split, gaps filled, `(n, m)`.
            val: Scaled rows of the val split with the look-back before it, `(n', m)`.
            train_scored: Cells that count as targets, `(n, m)` bool; a window with
                another one in its target is left out, a variate at a time.
            train_sound: Cells that may stand in a look-back, `(n, m)` bool, likewise.
            val_scored: As `train_scored`, `(n', m)` bool.
            penalties: Values of lambda to choose from by validation; None is a grid of
                `penalties_per_decade` from 10 to 1e6.
            shrinkages: Values of mu to choose from, with one map a variate.

        Returns:
            Plain data: `centre`, `penalty`, `shrinkage`, `val_mse`, the number of
            `blocks` held out, and the numbers of windows times variates
            `train_windows`, `val_windows`.

        Raises:
            ValueError: If the rows are no table of `variates`, or too few for a window.
        """
        splits = {
            'train': (train, train_scored, train_sound),
            'val': (val, val_scored, None),
        }
        if penalties is None:
            penalties = penalty_grid(self.penalties_per_decade)
        chosen: RidgeFit | None = None
        for centre in CENTRES if self.centre == 'auto' else (self.centre,):
            statistics = {
                split: self._statistics(split, *parts, centre)
                for split, parts in splits.items()
            }
            blocks = self._held_out(*splits['train'], centre)
            fit = fit_ridge(
                statistics['train'],
                statistics['val'],
                centre=centre,
                penalties=penalties,
                shrinkages=None if self.variates is None else shrinkages,
                blocks=blocks,
            )
            if chosen is None or fit.val_mse < chosen.val_mse:
                chosen = fit
        self.weight.copy_(torch.from_numpy(chosen.weight))
        weights = centre_weights(self.look_back, chosen.centre)
        self.centre_weights.copy_(torch.from_numpy(weights))
        return dict(
            centre=chosen.centre,
            penalty=chosen.penalty,
            shrinkage=chosen.shrinkage,
            val_mse=chosen.val_mse,
            blocks=len(blocks),
            train_windows=sum(one.windows for one in statistics['train']),
            val_windows=sum(one.windows for one in statistics['val']),
        )

    def _held_out(self, rows, scored, sound, centre) -> list[Trial]:
        """Return a trial for each block: itself, and what does not overlap with it."""
        length = self.look_back + self.horizon
        windows = len(rows) - length + 1
        blocks = self.blocks if windows >= self.blocks * length else 0
        edges = np.linspace(0, windows, blocks + 1).astype(int)
        trials = []
        for start, end in pairwise(edges):
            block, rest = np.zeros(windows, bool), np.ones(windows, bool)
            block[start:end] = True
            rest[max(start - length + 1, 0) : end + length - 1] = False
            trial = Trial(
                *(
                    self._statistics('train', rows, scored, sound, centre, part)
                    for part in (rest, block)
                )
            )
            if all(any(one.windows for one in part) for part in trial):
                trials.append(trial)
        return trials

    def _statistics(self, split, rows, scored, sound, centre, taken=None) -> list:
        rows = np.asarray(rows)
        if rows.ndim != 2 or self.variates not in (None, rows.shape[1]):
            raise ValueError(
                f'the {split} rows must be (rows, {self.variates or "variates"}), '
                f'got {rows.shape}'
            )
        count, variates = rows.shape
        needed = self.look_back + self.horizon
        if count < needed:
            raise ValueError(
                f'a window needs {needed} rows (look-back {self.look_back} and horizon '
                f'{self.horizon}), but the {split} split has {count}'
            )
        used = used_windows(
            rows.shape, self.look_back, self.horizon, scored=scored, sound=sound
        )
        if taken is not None:
            used &= taken[:, None]
        return [
            window_statistics(
                rows[:, variate],
                self.look_back,
                self.horizon,
                centre=centre,
                used=used[:, variate],
            )
            for variate in range(variates)
        ]
