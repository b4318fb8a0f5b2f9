"""Windows of a table of time series.

Letters in shapes: n rows, m variates in, m' variates out (targets), t look-back,
h horizon, f future covariates, s static features.
"""

import logging
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..registry import DATASETS
from .borders import split_borders
from .covariates import future_covariates, seconds, static_features
from .gaps import check_gaps, fill_forward, without_gaps
from .scaling import Standardiser
from .table import IRREGULAR, SeriesTable, read_table

SPLITS = ('train', 'val', 'test')
FEATURES = ('M', 'S', 'MS')


@DATASETS.register_module()
class SeriesDataset(Dataset):
    """Every window of one part of a table, at stride 1.

    A window is a look-back of t rows and a horizon of h rows. The look-back of the
    first window of val and test lies in the part before; no horizon does. Values are
    scaled by mean and deviation of the train rows. A missing value is filled forward in
    the look-back and never scored; a row that the calendar of the table has and the
    table lacks is inserted as missing, before the borders are counted.

    An item is a dict: `past` `(t, m)` and `future` `(h, m')` float32; `observed`
    `(h, m')` bool, only where some are not to be scored; `known` `(m, h, f)` and
    `static` `(m, s)` float32, if there are any. Windows are views of one array.

    Args:
        look_back: t, in rows.
        horizon: h, in rows.
        borders: Three row numbers or two fractions; see `split_borders`.
        split: 'train', 'val' or 'test'.
        path: File of the table; see `read_table`.
        table: The table itself, instead of a path.
        features: 'M': all variates in and out; 'MS': all in, the target out; 'S': the
            target in and out.
        target: Name of the target of 'MS' and 'S'.
        future: Covariates known in advance; see `future_covariates`. None for none.
        static: Features of the variates; see `static_features`. None for none.
        missing_values: Numbers that stand for a missing value. They stay in look-backs
            and scaling, as published results have it, and are not scored in training.
        layout: 'wide' or 'long' file.
        irregular: Take rows as they stand, where a date comes twice or the dates
            follow no calendar.
        gaps: Where rows or values are missing: 'warn', 'fill' (say nothing) or 'raise'.
        long: Names of the columns of a long file: `dict(id=..., time=..., value=...)`.

    Raises:
        ValueError: If the part has no window, or arguments and table do not fit.

    Reference: the windows of Informer (arXiv:2012.07436) and Autoformer
    (arXiv:2106.13008), with no batch dropped and the variates in the order of the file.
    """

    def __init__(
        self,
        *,
        look_back: int,
        horizon: int,
        borders: Sequence[int] | Sequence[float],
        split: str,
        path: str | Path | None = None,
        table: SeriesTable | None = None,
        features: str = 'M',
        target: str | None = None,
        future: Sequence[str | Mapping] | None = None,
        static: str | Mapping | None = None,
        missing_values: Sequence[float] = (),
        layout: str = 'wide',
        irregular: bool = False,
        gaps: str = 'warn',
        long: Mapping[str, str] | None = None,
    ) -> None:
        check_windows(look_back, horizon, split)
        check_gaps(gaps)
        self.look_back, self.horizon, self.split = int(look_back), int(horizon), split
        self.features = features
        self.source = 'the table' if path is None else str(path)
        found = given_table(path, table, layout, irregular, long)
        self.table, self.targets = chosen(found, features, target)
        if not (irregular or self.table.irregular):
            self.table, told = without_gaps(self.table, gaps, self.source, IRREGULAR)
            if told:
                print_log(told, logger='current', level=logging.WARNING)
        self.first, self.end, train = self._rows(borders)
        self.scaling = Standardiser.fit(self.table.values[:train], self.table.variates)
        self.values, self.outcomes = self._read_values()
        self._scored, self._sound = self._read_masks(missing_values)
        self.observed = None
        if not self._scored[:, self.targets].all():
            self.observed = torch.from_numpy(self._scored[:, self.targets])
        self.known, self._known_meta = self._read_future(future, train)
        self.static = None
        self.static_names: tuple[str, ...] = ()
        if static is not None:
            values, self.static_names = static_features(static, self.table.variates)
            self.static = torch.from_numpy(values.astype(np.float32))
        print_log(
            f'{self.source}: {len(self)} {split} windows of {look_back} + {horizon} '
            f'rows, {len(self.table.variates)} variates',
            logger='current',
        )

    def _rows(self, borders) -> tuple[int, int, int]:
        """Return first and end row of this part with its look-back, and train rows."""
        try:
            parts = split_borders(borders, len(self.table))
        except ValueError as error:
            raise ValueError(f'{self.source}: {error}') from error
        first, end = parts[self.split]
        train = parts['train'][1]
        before = 0 if self.split == 'train' else self.look_back
        if before > first:
            raise ValueError(
                f'{self.source}: the {self.split} part has {first} rows before it, but '
                f'a look-back needs {before}'
            )
        needed = self.horizon if before else self.look_back + self.horizon
        if end - first < needed:
            takes = 'horizon' if before else 'look-back with its horizon'
            raise ValueError(
                f'{self.source}: the {self.split} part has {end - first} rows, but a '
                f'{takes} needs {needed}'
            )
        return first - before, end, train

    def _part(self, rows: NDArray) -> NDArray:
        return rows[self.first : self.end]

    def _read_values(self) -> tuple[Tensor, Tensor]:
        """Return the scaled rows of this part, all variates and the targets.

        Raises:
            ValueError: If they are beyond float32.
        """
        scaled = fill_forward(self.scaling.transform(self.table.values), start=0.0)
        with np.errstate(over='ignore'):
            values = self._part(scaled).astype(np.float32)
        beyond = ~(np.isfinite(values).all(axis=0) & np.isfinite(self.scaling.std))
        if beyond.any():
            name = self.table.variates[beyond.argmax()]
            raise ValueError(
                f'{self.source}: {name!r} cannot be scaled, its values are too large, '
                'or vary too little, for 32 bits: give it in another unit'
            )
        values = torch.from_numpy(values)
        if self.targets == list(range(len(self.table.variates))):
            return values, values
        return values, values[:, self.targets].contiguous()

    def _read_masks(self, missing_values) -> tuple[NDArray, NDArray]:
        """Return which cells of this part are scored, and which are no sentinels."""
        values = self._part(self.table.values)
        there, sound = ~np.isnan(values), ~np.isin(values, list(missing_values))
        return there & sound if self.split == 'train' else there, sound

    def _read_future(self, future, train: int) -> tuple[Tensor | None, dict]:
        if future is None:
            return None, {}
        covariates = future_covariates(
            future,
            self.table.dates,
            self.table.variates,
            self.table.step,
            optional=self.table.empty_rows(),
            clock=self.table.clock,
        )
        scaling = covariates.scaling(train)
        part = self._part(covariates.scaled(scaling)).astype(np.float32)
        known = torch.from_numpy(part.transpose(1, 0, 2).copy())  # (m, n, f)
        return known, dict(known=list(covariates.names), known_scaling=scaling.state())

    def __len__(self) -> int:
        return len(self.values) - self.look_back - self.horizon + 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f'there are {len(self)} windows, got index {index}')
        begin = index % len(self)
        now, end = begin + self.look_back, begin + self.look_back + self.horizon
        item = dict(past=self.values[begin:now], future=self.outcomes[now:end])
        if self.observed is not None:
            item['observed'] = self.observed[now:end]
        if self.known is not None:
            item['known'] = self.known[:, now:end]
        if self.static is not None:
            item['static'] = self.static
        return item

    def fit_rows(self) -> dict[str, NDArray]:
        """Return what a closed form is fitted to: the rows of all windows at once.

        `rows` are scaled and without gaps, `(n, m)`; `scored` tells which cells count
        as targets, `sound` which are no sentinels, both `(n, m)` bool.
        """
        return dict(rows=self.values.numpy(), scored=self._scored, sound=self._sound)

    @property
    def metainfo(self) -> dict:
        """What a checkpoint needs to forecast another table, as plain data."""
        calendar = self.table.calendar
        return dict(
            variates=list(self.table.variates),
            targets=list(self.targets),
            **self.scaling.state(),
            look_back=self.look_back,
            horizon=self.horizon,
            step=seconds(self.table.step),
            features=self.features,
            clock=self.table.clock or '',
            **({} if calendar is None else dict(calendar=calendar.state())),
            **self._known_meta,
            **self._static_meta(),
        )

    def _static_meta(self) -> dict:
        if self.static is None:
            return {}
        names = list(self.static_names)
        return dict(static=names, static_values=self.static.tolist())


def check_windows(look_back: int, horizon: int, split: str) -> None:
    """Raise ValueError unless they are sizes of windows, and the name of a part."""
    for name, value in dict(look_back=look_back, horizon=horizon).items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f'{name} must be an integer from 1, got {value!r}')
    if split not in SPLITS:
        raise ValueError(f"split must be 'train', 'val' or 'test', got {split!r}")


def given_table(
    path: str | Path | None,
    table: SeriesTable | None,
    layout: str,
    irregular: bool,
    long: Mapping[str, str] | None,
) -> SeriesTable:
    """Return the table that is given, or that of a file.

    Raises:
        ValueError: If both or none are given, or the file is no table.
    """
    if (path is None) == (table is None):
        raise ValueError(
            'SeriesDataset needs one of path and table, got '
            f'{"neither" if path is None else "both"}'
        )
    if long is not None and layout != 'long':
        raise ValueError(
            f"long is for layout='long', got layout={layout!r}: leave long out, or set "
            "layout='long'"
        )
    if table is not None:
        return table
    return read_table(path, layout=layout, irregular=irregular, **(long or {}))


def chosen(
    table: SeriesTable, features: str, target: str | None
) -> tuple[SeriesTable, list[int]]:
    """Return the variates that go in, and the places of those that come out.

    Raises:
        ValueError: If there is no such choice, or the table has no such target.
    """
    if features not in FEATURES:
        raise ValueError(f"features must be 'M', 'S' or 'MS', got {features!r}")
    if features == 'M':
        if target is not None:
            raise ValueError(
                f"features='M' forecasts all variates, got the target {target!r}: "
                "leave target out, or set features='S' or 'MS'"
            )
        return table, list(range(len(table.variates)))
    if target is None:
        raise ValueError(f'features={features!r} needs a target, the name of a variate')
    alone = table.select([target])
    if features == 'S':
        return alone, [0]
    return table, [table.variates.index(target)]
