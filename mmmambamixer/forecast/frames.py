"""Data frames that are not of pandas: to pandas and back by narwhals."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets.extras import load_pandas


@dataclass(frozen=True, eq=False)
class Frames:
    """A kind of data frame.

    Args:
        like: A narwhals frame of this kind; None is pandas.
    """

    like: Any = None

    @classmethod
    def of(cls, frame) -> tuple['Frames', Any]:
        """Return the kind of a frame, and the frame as one of pandas.

        Raises:
            ModuleNotFoundError: If it is of another kind and narwhals is not installed.
            ValueError: If it is no data frame.
        """
        if isinstance(frame, load_pandas().DataFrame):
            return cls(), frame
        kind = f'{type(frame).__module__}.{type(frame).__qualname__}'
        try:
            import narwhals
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'a {kind} is read with narwhals: install `mmmambamixer[forecast]`, or '
                'give a pandas.DataFrame',
                name='narwhals',
            ) from error
        try:
            like = narwhals.from_native(frame, eager_only=True)
        except TypeError as error:
            lazy = hasattr(frame, 'collect')
            raise ValueError(
                f'series come in a data frame of pandas or polars, or in a table of '
                f'pyarrow, got {kind}' + (': call its collect()' if lazy else '')
            ) from error
        return cls(like), like.to_pandas()

    def native(self, frame):
        """Return a pandas frame as one of this kind.

        Columns that the user's frame has too get its types.
        """
        if self.like is None:
            return frame
        import narwhals

        kind = self.like.implementation
        found = narwhals.from_dict(
            {name: column.to_list() for name, column in frame.items()}, backend=kind
        )
        kinds = {n: narwhals.Float32 for n in frame if frame[n].dtype == np.float32}
        for name, kind in self.like.schema.items():
            if name in found.columns and not kind.is_numeric():
                kinds[name] = kind
        casts = [narwhals.col(name).cast(kind) for name, kind in kinds.items()]
        return found.with_columns(*casts).to_native()
