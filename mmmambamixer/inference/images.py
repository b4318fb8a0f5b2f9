"""The images to predict: which ones, what their results are called, their pixels."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..preflight.data.pictures import other_numbers, read

SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'}


def find_images(source: Path, out: Path, more: Iterable[str] = ()) -> list[Path]:
    """Return an image, or all images below a folder, sorted; none that lies in `out`.

    Args:
        source: File or folder; a file may have any suffix.
        out: Folder of the results.
        more: Suffixes of images that the config's data have, beside the usual ones.

    Raises:
        FileNotFoundError: If there is no such path, or no image below the folder.
    """
    if not source.exists():
        raise FileNotFoundError(f'no image or folder at {source}')
    if source.is_file():
        return [source]
    suffixes = tuple(SUFFIXES | {suffix.lower() for suffix in more if suffix})
    images = sorted(
        path
        for path in source.rglob('*')
        if path.name.lower().endswith(suffixes)
        and not path.name.startswith('._')  # notes of macOS, beside each file
        and not path.is_dir()
        and out.absolute() not in path.absolute().parents
    )
    if not images:
        kinds = ', '.join(sorted(suffixes))
        raise FileNotFoundError(f'no images ({kinds}) in the folder {source}')
    return images


def result_names(images: list[Path], source: Path) -> dict[Path, Path]:
    """Return for each image the relative path of its PNG results, all different.

    Sub-folders of `source` are kept. Images of one folder that differ in the suffix
    only keep it: `cat.jpg.png` beside `cat.bmp.png`.
    """
    root = source if source.is_dir() else source.parent
    relative = [path.relative_to(root) for path in images]
    alike = Counter(path.with_suffix('') for path in relative)
    return {
        path: name.with_suffix('.png')
        if alike[name.with_suffix('')] == 1
        else name.with_name(name.name + '.png')
        for path, name in zip(images, relative, strict=True)
    }


def read_picture(path: Path) -> np.ndarray:
    """Return the image as `(h, w, 3)`, RGB, uint8, for drawing.

    It is read as OpenMMLab's pipelines do: turned as its EXIF data say, grey to three
    channels, 16 bits to 8, without transparency.

    Raises:
        ValueError: If the file is no image; the message names it.
    """
    picture = read(path, channel_order='rgb')
    if picture is None:
        told = other_numbers(path) or (
            'is not an image that can be read: damaged, or empty?'
        )
        raise ValueError(f'{path} {told}')
    return picture
