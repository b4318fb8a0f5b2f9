"""The layout of a user's data frame, so that forecasts come back in it."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import SeriesTable, from_frame, from_long
from ..datasets.dates import OWN, skipped
from ..datasets.extras import load_pandas
from ..datasets.table import DATE, date_column, tell_unread
from ..messages import few
from .dates import date_form
from .frames import Frames
from .trained import Forecast

LONG = dict(id='unique_id', time='ds', value='y')
"""Columns of a long frame, unless it says others."""
LONG_HINT = '; in a long frame `long` names the columns of ids, dates and values'
CUTOFF = 'cutoff'
"""Column of the last known date in a backtest."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How series stand in a frame, wide or long.

    Args:
        long: Names of the columns of a long frame: id, time, value; None if it is wide.
        names: What the frame calls the variates: labels of columns, or a Series of ids.
        date: Label of the date column, or name of the index.
        index: Whether the dates are the index.
        dates: Gives dates the form that they have in the frame.
        frames: The kind of data frame.
        kinds: Types of the variates, or the type of the values of a long frame.
        axis: Name of the axis of the columns.
        clock: By which dates are taken; see `SeriesTable`.
    """

    long: Mapping[str, str] | None
    names: Any
    date: object
    index: bool
    dates: Callable[[NDArray], object]
    frames: Frames
    kinds: list
    axis: object
    clock: str | None

    def frame(self, forecast: Forecast):
        """Return a forecast as a frame of this layout; see `pandas_frame`."""
        return self.frames.native(self.pandas_frame(forecast))

    def pandas_frame(self, forecast: Forecast, cutoff=None):
        """Return a forecast as a pandas frame, the variates in the order of the frame.

        Wide: the date and a column a variate, with quantiles also `NAME q0.1`. Long:
        id, date and value in rows, with quantiles also columns `q0.1`. Rows at an hour
        that the clock skips are left out, with a warning.

        Args:
            forecast: Of h rows and any of the variates.
            cutoff: Last known date; None leaves its column out.
        """
        forecast = existing(forecast, self.clock)
        known = {name: place for place, name in enumerate(forecast.variates)}
        chosen = [n for n, name in enumerate(self.names) if str(name) in known]
        places = [known[str(self.names[n])] for n in chosen]
        levels = forecast.levels if forecast.quantiles is not None else ()
        labels = self.labels([self.names[n] for n in chosen], levels, cutoff)
        layers = [forecast.values, *(forecast.quantiles if levels else ())]
        rows, index = len(forecast.dates), None
        if self.long is not None:
            ids = self.names.iloc[np.repeat(chosen, rows)].reset_index(drop=True)
            dates = self.dates(np.tile(forecast.dates, len(places)))
            values = [layer[:, places].T.ravel() for layer in layers]
            columns = [ids, dates, *as_kinds(values, self.kinds * len(layers))]
            rows *= len(places)
        else:
            dates = self.dates(forecast.dates)
            values = [layer[:, place] for place in places for layer in layers]
            columns = as_kinds(values, [self.kinds[n] for n in chosen for _ in layers])
            if self.index:
                index = load_pandas().Index(dates, name=self.date)
            else:
                columns.insert(0, dates)
        if cutoff is not None:
            columns.insert(0, self.dates(np.repeat(cutoff, rows)))
        frame = load_pandas().DataFrame(dict(enumerate(columns)))
        if index is not None:
            frame.index = index
        return frame.set_axis(labels, axis=1).rename_axis(columns=self.axis)

    def labels(self, names: Sequence, levels: Sequence[float], cutoff=None) -> list:
        """Return the labels of the columns of a forecast.

        Raises:
            ValueError: If two would be the same.
        """
        ends = [f'q{level:g}' for level in levels]
        if len({*ends}) < len(ends):
            raise ValueError(
                f'quantiles must differ in their first six digits, got {few(levels)}'
            )
        if self.long is None:
            found = [] if self.index else [self.date]
            for name in names:
                found += [name, *(f'{name} {end}' for end in ends)]
        else:
            found = [*self.long.values(), *ends]
        if cutoff is not None:
            found.insert(0, CUTOFF)
        twice = [
            label for label, count in Counter(map(str, found)).items() if count > 1
        ]
        if twice:
            raise ValueError(
                f'two columns of the forecast would be called {twice[0]!r}: a forecast '
                "has columns for the date and for quantiles (such as 'NAME q0.1'), a "
                f'backtest one called {CUTOFF!r}; rename the variate, or the column'
            )
        return found


def existing(forecast: Forecast, clock: str | None) -> Forecast:
    """Return a forecast without rows at hours that the clock skips, which is told."""
    gone = skipped(forecast.dates, clock)
    if not gone.any():
        return forecast
    first = forecast.dates[gone][0].astype('datetime64[s]')
    warnings.warn(
        f'the forecast has no row at {first}, which the clock of {clock} skips: '
        f'{(~gone).sum()} of {len(gone)} rows are left',
        stacklevel=5,
    )
    quantiles = forecast.quantiles
    return replace(
        forecast,
        dates=forecast.dates[~gone],
        values=forecast.values[~gone],
        quantiles=None if quantiles is None else quantiles[:, ~gone],
    )


def as_kinds(columns: Sequence[NDArray], kinds: Sequence) -> list:
    """Return columns of float64 as columns of other floating types."""
    series = load_pandas().Series
    pairs = zip(columns, kinds, strict=True)
    return [series(column).astype(kind).array for column, kind in pairs]


def floating(kind):
    """Return the type of a column if it is one of at least 32 bits, else float64."""
    found = load_pandas().api.types.is_float_dtype(kind)
    return kind if found and getattr(kind, 'itemsize', 4) >= 4 else np.dtype(float)


def guess(frame, long: Mapping[str, str]) -> str:
    """Return 'long' if a frame has the three columns of that, else 'wide'.

    Raises:
        ValueError: If some of the three are its index.
    """
    lacking = [name for name in long.values() if name not in frame.columns]
    if 0 < len(lacking) < 3 and {*lacking} <= {*frame.index.names}:
        raise ValueError(
            f'a long frame needs the column {lacking[0]!r}, which is the index here: '
            'call reset_index()'
        )
    if lacking and DATE not in frame.columns and frame.index.nlevels > 1:
        raise ValueError(
            'the index of the frame must have one level, got a MultiIndex of '
            f'{few(frame.index.names)}: call reset_index()'
        )
    numeric = load_pandas().api.types.is_numeric_dtype
    if lacking or (DATE in frame.columns and numeric(frame[long['time']])):
        return 'wide'
    return 'long'


def read_layout(
    frame, long: Mapping[str, str], *, kind: str | None = None, **options
) -> tuple[Layout, SeriesTable]:
    """Return the layout of a data frame, and its table.

    Args:
        frame: Of pandas, or of what narwhals reads (polars, pyarrow); left as it is.
        long: Names of the columns of a long frame: id, time, value.
        kind: 'wide' or 'long', instead of a guess.
        **options: Of `from_frame`.

    Raises:
        ValueError: If it is no data frame, or no table of series.
    """
    frames, frame = Frames.of(frame)
    if frame.columns.nlevels > 1:
        raise ValueError(
            'the columns of the frame must have one name each, got a MultiIndex of '
            f'{few(frame.columns)}'
        )
    guessed = kind is None
    kind = kind or guess(frame, long)
    if kind == 'long':
        source = options.get('source', 'the frame')
        tell_unread(frame, (*long.values(),), source)
        clock = options.get('clock', OWN)
        table = from_long(frame, **long, source=source, clock=clock)
        names = frame[long['id']].drop_duplicates().reset_index(drop=True)
        date, index, column = long['time'], False, frame[long['time']]
        columns = [frame[long['value']]]
    else:
        if guessed:
            options.setdefault('long_hint', LONG_HINT)
        table, place = from_frame(frame, **options), date_column(frame)
        index = place is None
        column = frame.index.to_series() if index else frame.iloc[:, place]
        date = column.name
        others = [n for n in range(len(frame.columns)) if n != place]
        names = [frame.columns[n] for n in others]
        columns = [frame.iloc[:, n] for n in others]
    layout = Layout(
        long=dict(long) if kind == 'long' else None,
        names=names,
        date=date,
        index=index,
        dates=date_form(column, table.clock),
        frames=frames,
        kinds=[floating(column.dtype) for column in columns],
        axis=frame.columns.name,
        clock=table.clock,
    )
    return layout, table
