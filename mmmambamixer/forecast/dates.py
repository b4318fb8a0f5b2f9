"""The form of a user's dates, so that those of a forecast have it too."""

import datetime
from collections.abc import Callable

from numpy.typing import NDArray

from ..datasets.dates import is_daily, read_dates
from ..datasets.extras import load_pandas


def date_form(column) -> Callable[[NDArray], object]:
    """Return what gives dates, `(h,)` datetime64[ns], the form of a column.

    That is its unit, its time zone or its periods; `datetime.date`; and text, if all
    of the column has one format.

    Args:
        column: A Series of dates that `parsed_dates` reads.
    """
    pandas = load_pandas()
    kind = column.dtype
    if isinstance(kind, pandas.PeriodDtype):
        return lambda dates: pandas.DatetimeIndex(dates).to_period(kind.freq)
    if pandas.api.types.is_datetime64_any_dtype(column):
        if getattr(column.dt, 'tz', None) is None:
            return lambda dates: pandas.Series(dates).astype(kind).array
        return zone_form(column)
    if all(type(date) is datetime.date for date in column):
        return lambda dates: pandas.Series(dates).dt.date.to_numpy(object)
    return text_form(column) or date_form(read_dates(column, 'the frame'))


def zone_form(column) -> Callable[[NDArray], object]:
    """Return what puts dates back into a time zone; see `without_zone`."""
    pandas = load_pandas()
    kind, zone, daily = column.dtype, column.dt.tz, is_daily(column)

    def form(dates: NDArray):
        naive = pandas.Series(dates)
        if daily:  # an hour that a change of the clock skips is the next one
            options = dict(ambiguous=True, nonexistent='shift_forward')
            local = naive.dt.tz_localize(zone, **options)
        else:
            local = naive.dt.tz_localize('UTC').dt.tz_convert(zone)
        return local.astype(kind).array

    return form


def text_form(column) -> Callable[[NDArray], object] | None:
    """Return what writes dates like those of a column, or None if they have no format.

    The format is right if it gives all of the column as it is.
    """
    pandas = load_pandas()
    if not pandas.api.types.is_string_dtype(column):
        return None
    texts, dates = column.astype(object).to_numpy(), read_dates(column, 'the frame')
    for day_first in (False, True):
        guess = pandas.tseries.api.guess_datetime_format(texts[0], dayfirst=day_first)
        if guess is None:
            continue
        read = pandas.to_datetime(column, format=guess, errors='coerce')
        if read.equals(dates) and (dates.dt.strftime(guess) == texts).all():
            return lambda dates: pandas.Series(dates).dt.strftime(guess).array
    return None
