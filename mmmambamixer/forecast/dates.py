"""The form of a user's dates, so that those of a forecast have it too."""

import datetime
from collections.abc import Callable
from functools import partial

from numpy.typing import NDArray

from ..datasets.date_texts import OFFSET, offset_name, read_texts
from ..datasets.dates import OR, moments
from ..datasets.extras import load_pandas
from .date_texts import text_form, write


def date_form(column, clock: str | None) -> Callable[[NDArray], object]:
    """Return what gives dates, `(h,)` datetime64[ns], the form of a column.

    That is its unit, its time zone or its periods; `datetime.date`; and text, if all
    of the column has one form. An hour that the clock skips becomes NaT.

    Args:
        column: A Series of dates that `read_times` reads.
        clock: By which the dates are taken.
    """
    pandas = load_pandas()
    if isinstance(column.dtype, pandas.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = column.dtype
    if isinstance(kind, pandas.PeriodDtype):
        return partial(as_periods, frequency=kind.freq)
    if pandas.api.types.is_datetime64_any_dtype(column):
        zone = getattr(column.dt, 'tz', None)
        if zone is None:
            return partial(as_type, kind=kind)
        return partial(in_zone, kind=kind, zone=zone, clock=clock)
    if pandas.api.types.is_string_dtype(column):
        return written_form(column, clock)
    if all(type(date) is datetime.date for date in column):
        return as_days
    return date_form(pandas.to_datetime(column), clock)


def written_form(column, clock: str | None) -> Callable[[NDArray], object]:
    """Return the form of dates that are written; timestamps if it is not known.

    An offset from UTC is that of the last row. Dates that keep to the local clock by
    several offsets come without, because those to come are not known.
    """
    texts = column.astype(object)
    local, utc, _ = read_texts(texts, 'the frame')
    offset, bare = '', texts
    if utc is not None:
        bare = texts.str.replace(OFFSET, '', regex=True)
        if clock is None or OR not in clock:
            last = texts.iloc[int(utc.to_numpy('datetime64[ns]').argmax())]
            offset = OFFSET.search(last)[0]
    found = text_form(bare, local)
    if found is not None:
        options = dict(offset=offset, clock=clock, kind=column.dtype)
        return partial(as_text, form=found, **options)
    if not offset:
        return partial(as_type, kind=local.dtype)
    zone = offset_name(offset)
    kind = load_pandas().DatetimeTZDtype('ns', zone)
    return partial(in_zone, kind=kind, zone=zone, clock=clock)


# Each takes dates, `(h,)` datetime64[ns]. None is a closure: forecasters are pickled.


def as_periods(dates: NDArray, frequency):
    return load_pandas().DatetimeIndex(dates).to_period(frequency)


def as_type(dates: NDArray, kind):
    return load_pandas().Series(dates).astype(kind).array


def as_days(dates: NDArray):
    return load_pandas().Series(dates).dt.date.to_numpy(object)


def as_text(dates: NDArray, form, offset: str, clock: str | None, kind):
    """Write dates by a clock in a form from `text_form`, with an offset or without."""
    pandas = load_pandas()
    if offset:
        zone = offset_name(offset)
        dates = moments(dates, clock or zone).tz_convert(zone).tz_localize(None)
    return pandas.Series(write(pandas.Series(dates), *form) + offset, dtype=kind)


def in_zone(dates: NDArray, kind, zone, clock: str | None):
    """Put dates by a clock into a time zone; without a clock they are local there."""
    found = moments(dates, zone if clock is None else clock).tz_convert(zone)
    return load_pandas().Series(found).astype(kind).array
