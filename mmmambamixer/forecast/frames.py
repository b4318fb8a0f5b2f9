"""Forecasts as data frames, wide or long."""

from collections.abc import Mapping

from ..datasets.table import DATE, load_pandas
from .trained import Forecast

LONG = dict(id='unique_id', time='ds', value='y')
"""Columns of a long frame, unless it says others."""


def frame_of(
    forecast: Forecast,
    layout: str,
    *,
    date: str = DATE,
    long: Mapping[str, str] | None = None,
):
    """Return a forecast as a pandas frame.

    Wide: the date and a column a variate, with quantiles also `NAME q0.1`. Long: name,
    date and value in rows, with quantiles also columns `q0.1`.

    Args:
        forecast: Of h rows.
        layout: 'wide' or 'long'.
        date: Name of the date column of a wide frame.
        long: Names of the columns of a long frame.
    """
    pandas = load_pandas()
    if layout == 'wide':
        columns = {date: forecast.dates}
        for place, name in enumerate(forecast.variates):
            columns[name] = forecast.values[:, place]
            for level, values in quantiles_of(forecast):
                columns[f'{name} q{level:g}'] = values[:, place]
        return pandas.DataFrame(columns)
    names = {**LONG, **(long or {})}
    frames = []
    for place, name in enumerate(forecast.variates):
        columns = {
            names['id']: name,
            names['time']: forecast.dates,
            names['value']: forecast.values[:, place],
        }
        for level, values in quantiles_of(forecast):
            columns[f'q{level:g}'] = values[:, place]
        frames.append(pandas.DataFrame(columns))
    return pandas.concat(frames, ignore_index=True)


def quantiles_of(forecast: Forecast) -> list[tuple]:
    """Return levels with their values `(h, m')`."""
    if forecast.quantiles is None:
        return []
    return list(zip(forecast.levels, forecast.quantiles, strict=True))
