"""Write the demo data: real handwritten digits as files that stock datasets read.

    python tools/make_digits.py classes --out data/digits

`classes` writes a folder of PNG files per class, `train/3/0001.png`, for mmpretrain's
CustomDataset. The images are the 1,797 digits that ship inside scikit-learn (8 x 8
pixels, 17 grey levels; UCI "Optical Recognition of Handwritten Digits", CC BY 4.0).
Nothing is downloaded, and the same call writes the same bytes.
"""

import argparse
import shutil
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


def write_classes(out: Path, test_share: float, seed: int) -> None:
    """Write `train` and `test`, a folder of PNG files for each class.

    The folders appear under their names only once they are complete.
    """
    images, labels = load()
    for name, indices in split(labels, test_share, seed).items():
        unfinished = out / f'.{name}'
        shutil.rmtree(unfinished, ignore_errors=True)
        for index in indices:
            path = unfinished / str(labels[index]) / f'{index:04d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[index]).save(path)
        shutil.rmtree(out / name, ignore_errors=True)
        unfinished.rename(out / name)
        print(
            f'{out / name}: {len(indices)} images of {len(np.unique(labels))} classes'
        )


WRITERS = {'classes': write_classes}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('format', choices=WRITERS, help='what to write')
    parser.add_argument('--out', type=Path, default=Path('data/digits'))
    parser.add_argument('--test-share', type=float, default=TEST_SHARE)
    parser.add_argument('--seed', type=int, default=SEED)
    args = parser.parse_args()
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out must be a folder, {args.out} is a file')
    try:
        WRITERS[args.format](args.out, args.test_share, args.seed)
    except ValueError as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
