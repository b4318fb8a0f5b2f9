"""The form of a user's dates, so that those of a forecast have it too."""

import datetime
from collections.abc import Callable
from functools import partial

from numpy.typing import NDArray

from ..datasets.dates import is_local, read_dates
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
        return partial(as_periods, frequency=kind.freq)
    if pandas.api.types.is_datetime64_any_dtype(column):
        zone = getattr(column.dt, 'tz', None)
        if zone is None:
            return partial(as_type, kind=kind)
        return partial(in_zone, kind=kind, zone=zone, local=is_local(column))
    if all(type(date) is datetime.date for date in column):
        return as_days
    if form := text_format(column):
        return partial(as_text, form=form)
    return date_form(read_dates(column, 'the frame'))


# Each takes dates, `(h,)` datetime64[ns]. None is a closure: forecasters are pickled.


def as_periods(dates: NDArray, frequency):
    return load_pandas().DatetimeIndex(dates).to_period(frequency)


def as_type(dates: NDArray, kind):
    return load_pandas().Series(dates).astype(kind).array


def as_days(dates: NDArray):
    return load_pandas().Series(dates).dt.date.to_numpy(object)


def as_text(dates: NDArray, form: str):
    return load_pandas().Series(dates).dt.strftime(form).array


def in_zone(dates: NDArray, kind, zone, local: bool):
    """Put dates back into a time zone; see `without_zone`."""
    naive = load_pandas().Series(dates)
    if local:  # an hour that a change of the clock skips is the next one
        options = dict(ambiguous=True, nonexistent='shift_forward')
        return naive.dt.tz_localize(zone, **options).astype(kind).array
    return naive.dt.tz_localize('UTC').dt.tz_convert(zone).astype(kind).array


def text_format(column) -> str | None:
    """Return the format of dates that are written, or None if they have none.

    It is right if it gives all of the column as it is.
    """
    pandas = load_pandas()
    if not pandas.api.types.is_string_dtype(column):
        return None
    texts, dates = column.astype(object).to_numpy(), read_dates(column, 'the frame')
    for day_first in (False, True):
        guess = pandas.tseries.api.guess_datetime_format(texts[0], dayfirst=day_first)
        if guess is None or '%z' in guess:  # an offset depends on the date
            continue
        read = pandas.to_datetime(column, format=guess, errors='coerce')
        if read.equals(dates) and (dates.dt.strftime(guess) == texts).all():
            return guess
    return None
