"""Where the predictions of images go, and how they are shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Output:
    """What the `write` of each task is told.

    Args:
        folder: Folder of the results.
        meta: `classes`, names by label, and `palette`, as many RGB tuples.
        read: Returns the picture of an image.
        names: Relative path of the PNG files of each image.
        show: Images on the sheet.
        threshold: Least score of the objects that are drawn.
    """

    folder: Path
    meta: dict
    read: Callable[[Path], np.ndarray]
    names: Mapping[Path, Path]
    show: int
    threshold: float
