"""Images as MMCV reads them, and what to say of those that it cannot read."""

import os

import numpy as np


def read(path: str | os.PathLike, **options) -> np.ndarray | None:
    """Return what `mmcv.imread` reads, None if it reads nothing."""
    import cv2
    import mmcv

    try:
        return mmcv.imread(str(path), **options)
    except (OSError, cv2.error):
        return None


def other_numbers(path: str | os.PathLike) -> str:
    """Return a clause about an image that can be read, but not as bytes, or ''."""
    whole = read(path, flag='unchanged')
    if whole is None:
        return ''
    bands = whole.shape[2] if whole.ndim > 2 else 1
    return (
        f'has {bands} bands of {whole.dtype}, which cannot be read as three of 8 bits: '
        "LoadImageFromFile needs color_type='unchanged', or take a loader of your own"
    )
