"""Columns of data frames, and what is refused in them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..messages import did_you_mean, few
from .extras import load_pandas


def require_column(name: str, columns, source: str) -> None:
    """Refuse a table without a column.

    Raises:
        ValueError: If `name` is not among the columns.
    """
    if name not in columns:
        names = [str(column) for column in columns]
        raise ValueError(
            f'{source}: there is no column {name!r}, only {few(names)}'
            f'{did_you_mean(name, names)}'
        )


def refuse_repeated(names: Sequence[str], source: str) -> None:
    """Refuse a header that names a column twice, or not at all behind the first."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(
                f'{source}: two columns are named {name!r}: rename or remove one'
            )
        if place and (name in ('', 'nan') or name.startswith('Unnamed: ')):
            raise ValueError(
                f'{source}: column {place + 1} has no name: give it one in the header, '
                'or remove the column'
            )


def refuse_disorder(
    dates: NDArray, irregular: bool, source: str, hints: tuple[str, str]
) -> None:
    """Refuse dates that go back, and dates that come twice unless `irregular`."""
    steps = np.diff(dates).astype(np.int64)
    if (steps < 0).any():
        row = int((steps < 0).argmax()) + 1
        again = len(np.unique(dates)) < len(dates)
        raise ValueError(
            f'{source}: the dates are not in order: {dates[row]} in row {row + 1} '
            f'comes after {dates[row - 1]}: '
            + (
                f'some dates are repeated{hints[1]}'
                if again
                else 'sort the rows by date'
            )
        )
    if (steps == 0).any() and not irregular:
        row = int((steps == 0).argmax()) + 1
        raise ValueError(
            f'{source}: the date {dates[row]} is in two rows, {row} and {row + 1}: '
            'keep one of them, or, if the clock was set back there, give the dates a '
            f'time zone{"".join(hints)}'
        )


def texts(names: Sequence, id: str, source: str) -> list[str]:
    """Return ids as text.

    Raises:
        ValueError: If that makes two of them equal.
    """
    names = [str(name) for name in names]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(
                f'{source}: column {id!r} has the number {name} and the text {name!r}: '
                'write all of them as numbers or all as text'
            )
    return names


def numbers(column, source: str) -> NDArray:
    """Return a column as `(n,)` float64.

    Raises:
        ValueError: If it holds something else; the message names the first such row.
    """
    pandas = load_pandas()
    if (
        is_time(column.dtype) or column.dtype.kind == 'm'
    ):  # which pandas takes for numbers
        column = column.astype(object)
    elif column.dtype.kind == 'c':
        column = column.astype(str)
    if not pandas.api.types.is_numeric_dtype(column):
        values = pandas.to_numeric(column, errors='coerce')
        bad = values.isna() & column.notna()
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise ValueError(
                f'{source}: column {column.name!r} must hold numbers, got '
                f'{column.iloc[row]!r} in row {row + 1}'
            )
        column = values
    return column.to_numpy(np.float64, na_value=np.nan)


def is_time(kind) -> bool:
    """Return whether the dtype of a column is that of dates or of periods."""
    return kind.kind == 'M' or isinstance(kind, load_pandas().PeriodDtype)
