"""A picture of a forecast: small panels, one a variate."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from ..datasets import SeriesTable
from .trained import Forecast

PANELS = 8
COLUMNS = 2
LOOK = 3
"""How many horizons of the past are shown."""


def draw_forecast(
    forecast: Forecast,
    table: SeriesTable,
    end: int,
    path: Path,
    *,
    look_back: int,
    title: str,
) -> None:
    """Write a PNG: the end of the look-back, the forecast, its interval, the truth.

    Args:
        forecast: Of the rows after `end`.
        table: Its rows after `end`, if any, are the truth.
        end: Rows before the forecast.
        path: File to write.
        look_back: Most rows of the past that are shown.
        title: Line above all; says it itself where variates are left out.
    """
    names = forecast.variates[:PANELS]
    if len(names) < len(forecast.variates):
        title += f'; the first {PANELS} of {len(forecast.variates)} variates'
    horizon = len(forecast.dates)
    begin = max(0, end - min(look_back, max(LOOK * horizon, 48)))
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(6.5 * columns, 2.3 * rows + 0.9), layout='constrained')
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[len(names) :]:
        axis.axis('off')
    for place, axis in enumerate(axes[: len(names)]):
        draw_panel(axis, forecast, table, place, begin, end)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=len(labels))
    figure.suptitle(title)
    figure.savefig(path, dpi=100, metadata={'Software': None})


def draw_panel(
    axis: Axes, forecast: Forecast, table: SeriesTable, place: int, begin: int, end: int
) -> None:
    """Draw one variate of a forecast.

    Args:
        axis: To draw on.
        forecast: Of the rows after `end`.
        table: As in `draw_forecast`.
        place: Of the variate in the forecast.
        begin: First row of the past that is shown.
        end: Rows before the forecast.
    """
    name = forecast.variates[place]
    series = table.values[:, table.variates.index(name)]
    # the last known row joins past and forecast
    dates = np.concatenate([table.dates[end - 1 : end], forecast.dates])
    axis.plot(table.dates[begin:end], series[begin:end], color='0.25', label='past')
    if end < len(table):
        truth = series[end - 1 : end + len(forecast.dates)]
        axis.plot(dates[: len(truth)], truth, color='C2', label='truth')
    if forecast.quantiles is not None:
        low, high = forecast.quantiles[[0, -1], :, place]
        told = f'{forecast.levels[0]:g} to {forecast.levels[-1]:g} quantile'
        axis.fill_between(
            forecast.dates, low, high, color='C1', alpha=0.25, lw=0, label=told
        )
    joined = np.concatenate([series[end - 1 : end], forecast.values[:, place]])
    axis.plot(dates, joined, color='C1', label='forecast')
    axis.axvline(table.dates[end - 1], color='0.7', lw=0.8, ls=':')
    axis.set_title(name, fontsize=10)
    axis.grid(alpha=0.3)
    locator = AutoDateLocator(minticks=3, maxticks=9)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.tick_params(labelsize=8)
