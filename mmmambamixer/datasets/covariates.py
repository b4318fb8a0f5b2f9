"""What is known beside the series: of the future, and of each variate.

Letters in shapes: n rows, m variates, f future covariates, s static features.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_keys
from ..messages import few
from .columns import numbers, refuse_repeated, require_column
from .dates import skipped
from .extras import load_pandas
from .gaps import fill_forward
from .scaling import Standardiser
from .table import (
    LAYOUTS,
    SeriesTable,
    from_frame,
    from_long,
    read_frame,
)
from .time_features import FEATURES, time_features, varying_features

CALENDAR = 'calendar'
"""Stands for all time features that vary at the step of the table."""
ONE_HOT = 'one_hot'
"""Static features that tell the variates apart, and nothing else."""
TABLE = ('path', 'columns', 'layout', 'id', 'time')
"""Keys of a table of future covariates."""


@dataclass(frozen=True, eq=False)
class FutureCovariates:
    """Covariates that are known in advance, at every row of a table.

    Args:
        values: In their own units, NaN where one is missing, `(n, m, f)` float64.
        names: The f names.
        calendar: Which of them are time features, `(f,)` bool: these are not scaled.
    """

    values: NDArray
    names: tuple[str, ...]
    calendar: NDArray

    def scaling(self, rows: int) -> Standardiser:
        """Return the scaling of the first rows, a variate and covariate at a time."""
        fitted = Standardiser.fit(self.values[:rows])
        return Standardiser(
            np.where(self.calendar, 0.0, fitted.mean),
            np.where(self.calendar, 1.0, fitted.std),
        )

    def scaled(self, scaling: Standardiser) -> NDArray:
        """Return scaled values, gaps filled forward, those at the start by 0."""
        return fill_forward(scaling.transform(self.values), start=0.0)


def future_covariates(
    sources: Sequence[str | Mapping],
    dates: NDArray,
    variates: Sequence[str],
    step: np.timedelta64,
    optional: NDArray | None = None,
    clock: str | None = None,
) -> FutureCovariates:
    """Read covariates that are known in advance.

    Args:
        sources: Names of time features, 'calendar' for all that vary, or tables. A
            table is `dict(path=..., columns=...)`, with `layout='long'` and perhaps
            `id`, `time` as for `read_table`. Its columns are names, read for each
            variate from its own rows in a long table and shared by all variates in a
            wide one, or `{name: columns of a wide table, one a variate}`.
        dates: Rows at which they are needed, `(n,)`.
        variates: The m names.
        step: Step of the dates.
        optional: Which of the dates a table may lack, `(n,)` bool; None is none.
        clock: Of the dates; see `SeriesTable`. Those of a table are taken by it too.

    Raises:
        ValueError: If a source is none of these, or a table lacks a row, a column or a
            variate.
    """
    check_future(sources)
    values, names, calendar = [], [], []
    absent = skipped(dates, clock)
    optional = absent if optional is None else optional | absent
    for source in sources:
        if isinstance(source, str):
            found = calendar_covariates(source, dates, step)
            values += [
                np.repeat(one[:, None], len(variates), 1) for one in found.values()
            ]
        else:
            found = table_covariates(
                dates=dates,
                variates=variates,
                optional=optional,
                clock=clock,
                **source,
            )
            values += found.values()
        names += found
        calendar += [isinstance(source, str)] * len(found)
    refuse_repeated(names, 'future covariates')
    return FutureCovariates(np.stack(values, -1), tuple(names), np.array(calendar))


def check_future(sources: Sequence[str | Mapping]) -> None:
    """Raise ValueError unless they are names of time features and tables, one at least.

    Whether a name is known, and a file there, is seen when they are read.
    """
    if isinstance(sources, str) or not isinstance(sources, (Sequence, np.ndarray)):
        raise ValueError(f'future must be a list of names and tables, got {sources!r}')
    if len(sources) == 0:
        raise ValueError('future is an empty list: leave it out')
    for source in sources:
        if isinstance(source, Mapping):
            check_keys('a table of future', source, TABLE, ('path', 'columns'))
        elif not isinstance(source, str):
            raise ValueError(
                'an entry of future must be a name or dict(path=..., columns=...), '
                f'got {source!r}'
            )


def calendar_covariates(
    source: str, dates: NDArray, step: np.timedelta64
) -> dict[str, NDArray]:
    """Return one time feature or all that vary, each `(n,)`."""
    varying = varying_features(step)
    if source == CALENDAR:
        names = varying
    elif source in FEATURES and source not in varying:
        raise ValueError(
            f'the time feature {source!r} is constant where rows are '
            f'{seconds(step):g} seconds apart; those that vary: '
            f'{", ".join(varying) or "none"}'
        )
    else:
        names = (source,)
    features = time_features(dates, names)
    return {name: features[:, place] for place, name in enumerate(names)}


def table_covariates(
    *,
    path: str | Path,
    columns: Sequence[str] | Mapping[str, Sequence[str]],
    dates: NDArray,
    variates: Sequence[str],
    optional: NDArray | None = None,
    clock: str | None = None,
    layout: str = 'wide',
    id: str = 'unique_id',
    time: str = 'ds',
) -> dict[str, NDArray]:
    """Return covariates of a table, each `(n, m)`; see `future_covariates`."""
    if isinstance(columns, str):
        raise ValueError(f'{path}: columns must be a list of names, got {columns!r}')
    if layout not in LAYOUTS:
        raise ValueError(f"{path}: layout must be 'wide' or 'long', got {layout!r}")
    frame, found = read_frame(path), {}
    if layout == 'wide':
        table = from_frame(frame, source=str(path), clock=clock)
        if not isinstance(columns, Mapping):
            columns = {name: (name,) * len(variates) for name in columns}
        for name, own in columns.items():
            if len(own) != len(variates):
                raise ValueError(
                    f'{path}: covariate {name!r} needs a column for each of the '
                    f'{len(variates)} variates, got {len(own)} columns'
                )
            found[name] = rows_of(table.select(own), dates, path, name, optional)
        return found
    if isinstance(columns, Mapping):
        raise ValueError(
            f'{path}: columns of a long table must be a list of names, got a dict'
        )
    for name in columns:
        columns_of = dict(id=id, time=time, value=name)
        table = from_long(frame, **columns_of, source=str(path), clock=clock)
        found[name] = rows_of(table.select(variates), dates, path, name, optional)
    return found


def rows_of(
    table: SeriesTable,
    dates: NDArray,
    path: str | Path,
    name: str,
    optional: NDArray | None,
) -> NDArray:
    """Return the rows of a table at some dates, of NaN at optional ones that it lacks.

    A warning tells where others have no value of the covariate `name`.

    Raises:
        ValueError: If it lacks another one.
    """
    places = np.searchsorted(table.dates, dates).clip(max=len(table) - 1)
    missing = table.dates[places] != dates
    needed = missing if optional is None else missing & ~optional
    if needed.any():
        raise ValueError(
            f'{path}: a covariate must have a row for every date of the series, but '
            f'{needed.sum()} of {len(dates)} dates are missing, first '
            f'{dates[needed.argmax()]}; the file goes from {table.dates[0]} to '
            f'{table.dates[-1]}'
        )
    empty = np.isnan(table.values[places]).any(axis=1) & ~missing
    if optional is not None:
        empty &= ~optional
    if empty.any():
        warnings.warn(
            f'{path}: covariate {name!r} has no value at {empty.sum()} of {len(dates)} '
            f'dates, the first {dates[empty][0].astype("datetime64[s]")}: the value '
            'before is repeated',
            stacklevel=4,
        )
    return np.where(missing[:, None], np.nan, table.values[places])


def static_features(
    source: str | Mapping, variates: Sequence[str]
) -> tuple[NDArray, tuple[str, ...]]:
    """Return features of each variate, `(m, s)` float64, and their s names.

    Args:
        source: 'one_hot', or `dict(path=..., columns=..., id='unique_id')`: a table
            with one row a variate; or what it holds, `dict(values={variate: [...]},
            columns=...)`. Its columns are scaled over the variates.
        variates: The m names.

    Raises:
        ValueError: If it is neither, or the table lacks a column or a variate.
    """
    check_static(source)
    if isinstance(source, str):
        return np.eye(len(variates)), tuple(f'is {name}' for name in variates)
    if 'values' in source:
        values, names = static_values(variates=variates, **source)
    else:
        values, names = static_table(variates=variates, **source)
    return Standardiser.fit(values, names).transform(values), names


def check_static(source: str | Mapping) -> None:
    """Raise ValueError unless it is 'one_hot', a table or what a table holds."""
    if isinstance(source, Mapping):
        place = 'values' if 'values' in source else 'path'
        known = (place, 'columns') if place == 'values' else (place, 'columns', 'id')
        check_keys('static', source, known, (place, 'columns'))
    elif not isinstance(source, str) or source != ONE_HOT:
        raise ValueError(
            f"static must be 'one_hot' or dict(path=..., columns=...), got {source!r}"
        )


def static_values(
    *,
    values: Mapping[str, Sequence[float]],
    columns: Sequence[str],
    variates: Sequence[str],
) -> tuple[NDArray, tuple[str, ...]]:
    """Return what `static_table` would of the same numbers."""
    for name in variates:
        if name not in values:
            raise ValueError(
                f'static has no values for the variate {name!r}, only for {few(values)}'
            )
    return np.array([values[name] for name in variates], np.float64), tuple(columns)


def static_table(
    *,
    path: str | Path,
    columns: Sequence[str],
    variates: Sequence[str],
    id: str = 'unique_id',
) -> tuple[NDArray, tuple[str, ...]]:
    """Return the values of a table with one row a variate; see `static_features`."""
    if isinstance(columns, str) or not columns:
        raise ValueError(f'{path}: columns must be a list of names, got {columns!r}')
    frame = read_frame(path)
    for name in (id, *columns):
        require_column(name, frame.columns, str(path))
    places = load_pandas().Index(frame[id].astype(str))
    for variate in variates:
        rows = int((places == variate).sum())
        if rows != 1:
            raise ValueError(
                f'{path}: column {id!r} must name each variate once, but it has '
                f'{variate!r} {rows} times'
            )
    values = np.stack([numbers(frame[name], str(path)) for name in columns], axis=1)
    values = values[places.get_indexer(list(variates))]
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f'{path}: static features must be finite numbers, got '
            f'{values[row, column]} in {columns[column]!r} of {variates[row]!r}'
        )
    return values, tuple(columns)


def seconds(step: np.timedelta64) -> float:
    """Return a step in seconds."""
    return float(step / np.timedelta64(1, 's'))
