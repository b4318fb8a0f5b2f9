"""The layout of a user's data frame, so that forecasts come back in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..datasets import SeriesTable, from_frame, from_long
from ..datasets.table import DATE, load_pandas
from .frames import LONG, frame_of
from .trained import Forecast


@dataclass(frozen=True)
class Layout:
    """How series stand in a frame.

    Args:
        kind: 'wide', a column a variate, or 'long', a row for each series and date.
        date: Name of the date column of a wide frame, or of its index.
        index: Whether the dates are the index.
        long: Names of the columns of a long frame: id, time, value.
    """

    kind: str
    date: str = DATE
    index: bool = False
    long: Mapping[str, str] = field(default_factory=lambda: dict(LONG))

    @classmethod
    def of(cls, frame, long: Mapping[str, str]) -> 'Layout':
        """Return the layout of a frame: long if it has the three columns of that.

        Raises:
            ValueError: If it is no data frame.
        """
        pandas = load_pandas()
        if not isinstance(frame, pandas.DataFrame):
            raise ValueError(
                f'series come in a pandas.DataFrame, got {type(frame).__name__}'
            )
        names = list(frame.columns)
        if set(long.values()) <= set(names):
            return cls('long', long=dict(long))
        if DATE in names:
            return cls('wide')
        if isinstance(frame.index, pandas.DatetimeIndex):
            return cls('wide', date=frame.index.name or DATE, index=True)
        return cls('wide', date=names[0] if names else DATE)

    def table(self, frame) -> SeriesTable:
        """Return the table of a frame; see `from_frame` and `from_long`."""
        if self.kind == 'long':
            return from_long(frame, **self.long)
        return from_frame(frame)

    def frame(self, forecast: Forecast):
        """Return a forecast as a frame of this layout."""
        frame = frame_of(forecast, self.kind, date=self.date, long=self.long)
        return frame.set_index(self.date) if self.index else frame
