"""Write the demo data: real handwritten digits as files that stock datasets read.

    python tools/make_digits.py classes --out data/digits
    python tools/make_digits.py scenes --out data/digit_scenes

`classes` writes a folder of PNG files per class, `train/3/0001.png`, for mmpretrain's
CustomDataset. `scenes` writes images with several digits on textured ground, with COCO
annotations for mmdet's CocoDataset and label maps for mmseg's BaseSegDataset.

The digits are the 1,797 that ship inside scikit-learn (8 x 8 pixels, 17 grey levels;
UCI "Optical Recognition of Handwritten Digits", CC BY 4.0); those of `test` are in no
image of `train`. Nothing is downloaded, and the same call writes the same bytes.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

LEVELS = 16
"""The darkest value of the source images."""

SEED = 20240330
TEST_SHARE = 0.2


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return images `(1797, 8, 8)`, uint8 from 0 to 255, and labels `(1797,)`."""
    digits = load_digits()
    images = np.round(digits.images * (255 / LEVELS)).astype(np.uint8)
    return images, digits.target


def split(labels: np.ndarray, test_share: float, seed: int) -> dict[str, np.ndarray]:
    """Split indices into train and test, every class by the same share.

    Args:
        labels: Class of each image, `(n,)`.
        test_share: Part of each class that is held out, in (0, 1).
        seed: Decides which images; the same seed gives the same split.

    Returns:
        Sorted indices as `train` and `test`.
    """
    if not 0 < test_share < 1:
        raise ValueError(f'the test share must lie between 0 and 1, got {test_share}')
    generator = np.random.RandomState(seed)
    parts = {'train': [], 'test': []}
    for label in np.unique(labels):
        indices = generator.permutation(np.flatnonzero(labels == label))
        held_out = round(test_share * len(indices))
        parts['test'].extend(indices[:held_out])
        parts['train'].extend(indices[held_out:])
    return {name: np.sort(np.array(indices)) for name, indices in parts.items()}


@contextmanager
def complete_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder whose content appears in `out` once it is complete.

    What bore the same names in `out` is replaced, the rest of it stays.
    """
    unfinished = out / '.unfinished'
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    for folder in sorted(unfinished.iterdir()):
        shutil.rmtree(out / folder.name, ignore_errors=True)
        folder.rename(out / folder.name)
    unfinished.rmdir()


def write_classes(out: Path, test_share: float, seed: int) -> None:
    """Write `train` and `test`, a folder of PNG files for each class."""
    images, labels = load()
    parts = split(labels, test_share, seed)
    with complete_folder(out) as folder:
        for name, indices in parts.items():
            for index in indices:
                path = folder / name / str(labels[index]) / f'{index:04d}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[index]).save(path)
    for name, indices in parts.items():
        print(f'{out / name}: {len(indices)} images of 10 classes')


def write_scenes(
    out: Path,
    test_share: float,
    seed: int,
    counts: tuple[int, int],
    digits: tuple[int, int] | None,
    size: int,
) -> None:
    """Write `train` and `test`, `labels` and `annotations` of scenes.

    Args:
        out: Folder for them; see `digit_scenes.write_part`.
        test_share: Part of the digits that only test scenes may show, in (0, 1).
        seed: Decides which these are, and everything in the scenes.
        counts: Scenes for training and for the test.
        digits: Fewest and most digits of a scene for training; if None as many as
            those of the test have, `digit_scenes.DIGITS`.
        size: Side of a scene, pixels.
    """
    from digit_scenes import DIGITS, MIN_SIZE, draw_scene, write_part  # + pycocotools

    if min(counts) < 1:
        raise ValueError(f'each part must have at least one scene, got {counts}')
    if size < MIN_SIZE:
        raise ValueError(f'scenes must be at least {MIN_SIZE} pixels wide, got {size}')
    digits = digits or DIGITS
    if not 1 <= digits[0] <= digits[1]:
        raise ValueError(
            '--digits must be two numbers, the fewest (at least 1) and the most digits '
            f'of a scene, got {digits}'
        )
    images, labels = load()
    parts = split(labels, test_share, seed)
    many = dict(zip(parts, (digits, DIGITS), strict=True))
    for name, indices in parts.items():
        if len(indices) < many[name][1]:
            raise ValueError(
                f'scenes need at least {many[name][1]} digits to choose from, but the '
                f'test share {test_share} leaves {len(indices)} for {name}'
            )
    with complete_folder(out) as folder:
        for part, (name, indices) in enumerate(parts.items()):
            scenes = [
                draw_scene(
                    images,
                    indices,
                    size,
                    np.random.RandomState([seed, part, i]),
                    many[name],
                )
                for i in range(counts[part])
            ]
            shown = write_part(folder, name, scenes, labels)
            print(f'{out / name}: {counts[part]} scenes with {shown} digits')


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    commands = parser.add_subparsers(dest='format', required=True)
    classes = commands.add_parser('classes', help='a folder of digits for each class')
    classes.set_defaults(write=write_classes, out=Path('data/digits'))
    scenes = commands.add_parser('scenes', help='several digits on textured ground')
    scenes.set_defaults(write=write_scenes, out=Path('data/digit_scenes'))
    for command in (classes, scenes):
        command.add_argument('--out', type=Path, help='folder to write to')
        command.add_argument(
            '--test-share',
            type=float,
            default=TEST_SHARE,
            help='part of the digits of each class that is held out',
        )
        command.add_argument('--seed', type=int, default=SEED)
    scenes.add_argument(
        '--counts',
        type=int,
        nargs=2,
        metavar=('TRAIN', 'TEST'),
        default=(1600, 200),
        help='scenes for training and for the test',
    )
    scenes.add_argument(
        '--digits',
        type=int,
        nargs=2,
        metavar=('FEWEST', 'MOST'),
        help='digits of a scene for training; without it as many as in a test scene',
    )
    scenes.add_argument('--size', type=int, default=128, help='side in pixels')
    return parser.parse_args()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options = vars(parse_args(parser))
    write = options.pop('write')
    del options['format']
    if options['out'].exists() and not options['out'].is_dir():
        parser.error(f'--out must be a folder, {options["out"]} is a file')
    try:
        write(**options)
    except ValueError as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
