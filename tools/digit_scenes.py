"""Scenes of handwritten digits on textured ground, with instance masks and label maps.

`tools/make_digits.py scenes` writes them; here is how one is drawn and what its
annotations say. Axis letters: h w image, k digits of a scene.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from PIL import Image
from pycocotools import mask as rle

MIN_SIZE = 48
"""Side of the smallest scene, pixels: its smallest digits still have 12."""

DIGITS = (2, 4)
"""Fewest and most digits of a scene, where nothing else is asked for."""

HEIGHTS = (0.25, 0.55)
"""Smallest and largest height of a digit, as a part of the scene's."""

MIN_VISIBLE = 0.8
"""Part of each digit that those above it leave visible."""

PLACES_TRIED = 20
CLASSES = [str(digit) for digit in range(10)]


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: `(h, w, 3)`, uint8, RGB.
        owner: Which digit each pixel shows, 0 to k - 1, or -1 for the ground, `(h, w)`.
        sources: Index of each digit among scikit-learn's, k of them.
    """

    image: np.ndarray
    owner: np.ndarray
    sources: list[int]


def draw_scene(
    digits: np.ndarray,
    indices: np.ndarray,
    size: int,
    generator: RandomState,
    many: tuple[int, int] = DIGITS,
) -> Scene:
    """Draw some of the digits, later ones over earlier ones.

    A digit that finds no place where every digit stays visible enough is left out.

    Args:
        digits: All digits, `(n, 8, 8)`, uint8, 255 is ink.
        indices: Those that may be drawn.
        size: Side of the scene, pixels.
        generator: Source of everything random.
        many: Fewest and most digits to place.
    """
    image, brightness = draw_ground(size, generator)
    owner = np.full((size, size), -1, np.int8)
    sources, areas = [], []
    fewest, most = many
    for source in generator.choice(indices, generator.randint(fewest, most + 1), False):
        height = int(size * np.exp(generator.uniform(*np.log(HEIGHTS))))
        ink = enlarge(digits[source], height)
        colour = choose_colour(brightness, generator)
        for _ in range(PLACES_TRIED):
            y, x = generator.randint(0, size - height + 1, 2)
            place = slice(y, y + height), slice(x, x + height)
            covered = owner.copy()
            covered[place][ink >= 0.5] = len(sources)
            if all(
                (covered == i).sum() >= a * MIN_VISIBLE for i, a in enumerate(areas)
            ):
                image[place] += (colour - image[place]) * ink[..., None]
                owner = covered
                sources.append(int(source))
                areas.append((ink >= 0.5).sum())
                break
    return Scene(image.round().astype(np.uint8), owner, sources)


def draw_ground(size: int, generator: RandomState) -> tuple[np.ndarray, float]:
    """Return clouds, blotches and grain, `(h, w, 3)` in 0 to 255, and their mean."""
    brightness = generator.uniform(50, 205)
    ground = np.full((size, size, 3), brightness) + generator.uniform(-25, 25, 3)
    for cells, strength in ((3, 18), (size // 8, 12), (size // 2, 8)):
        noise = generator.normal(0, strength, (cells, cells)).astype(np.float32)
        noise = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
        ground += np.asarray(noise)[..., None] * generator.uniform(0.6, 1.4, 3)
    return ground.clip(0, 255), brightness


def choose_colour(ground: float, generator: RandomState) -> np.ndarray:
    """Return an RGB colour that is clearly lighter or darker than the ground."""
    contrast = generator.uniform(70, 130)
    fits = [s for s in (-1, 1) if 20 <= ground + s * contrast <= 235]
    sign = generator.choice(fits or [1 if ground < 128 else -1])
    tint = generator.uniform(-60, 60, 3)
    return (ground + sign * contrast + tint - tint.mean()).clip(0, 255)


def enlarge(digit: np.ndarray, height: int) -> np.ndarray:
    """Return how much ink lies on each pixel, 0 to 1, `(height, height)`."""
    ink = Image.fromarray(digit.astype(np.float32) / 255)
    ink = np.asarray(ink.resize((height, height), Image.Resampling.BICUBIC))
    return ((ink - 0.25) / 0.4).clip(0, 1)


def write_part(folder: Path, name: str, scenes: list[Scene], labels: np.ndarray) -> int:
    """Write one part, `train` or `test`, and return how many digits it shows.

    Args:
        folder: Gets `NAME/*.png`, `labels/NAME/*.png` (0 ground, 1 to 10 the digits 0
            to 9) and `annotations/instances_NAME.json` (COCO; `source` is the index of
            the digit in scikit-learn's data set).
        name: Of the part.
        scenes: What to write.
        labels: Class of each digit of the data set.
    """
    images, annotations = [], []
    for path in (folder / name, folder / 'labels' / name, folder / 'annotations'):
        path.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes, 1):
        height, width = scene.owner.shape
        stem = f'{number:04d}'
        values = np.array([*(labels[scene.sources] + 1), 0], np.uint8)  # -1: ground
        Image.fromarray(scene.image).save(folder / name / f'{stem}.png')
        label_map = Image.fromarray(values[scene.owner])
        label_map.save(folder / 'labels' / name / f'{stem}.png')
        images.append(
            dict(id=number, file_name=f'{stem}.png', width=width, height=height)
        )
        for i, source in enumerate(scene.sources):
            annotation = dict(id=len(annotations) + 1, image_id=number)
            annotation |= annotate(scene.owner == i)
            annotation |= dict(category_id=int(values[i]), source=source)
            annotations.append(annotation)
    categories = [dict(id=i, name=digit) for i, digit in enumerate(CLASSES, 1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    path = folder / 'annotations' / f'instances_{name}.json'
    path.write_text(json.dumps(content))
    return len(annotations)


def annotate(visible: np.ndarray) -> dict:
    """Return COCO's description of a mask `(h, w)`: run lengths, area, box."""
    segmentation = rle.encode(np.asfortranarray(visible, np.uint8))
    return dict(
        segmentation=segmentation | dict(counts=segmentation['counts'].decode()),
        area=int(visible.sum()),
        bbox=rle.toBbox(segmentation).tolist(),
        iscrowd=0,
    )
