"""Whether a COCO annotation file says what mmdet would take from it.

mmdet drops boxes that it cannot use, and says nothing.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from mmengine.logging import print_log

from ...messages import few

KEYS = dict(
    images=('id', 'file_name', 'width', 'height'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'),
)
"""What mmdet needs of each entry of the lists of a file."""


@dataclass
class CocoFile:
    """What a file says that only some runs need.

    Attributes:
        boxes: Boxes of each category that mmdet does not leave out.
        no_mask: Categories of annotations without a segmentation, by their id.
        no_area: Those whose polygons have all fewer than 6 numbers.
    """

    boxes: Counter = field(default_factory=Counter)
    no_mask: dict[int, str] = field(default_factory=dict)
    no_area: dict[int, str] = field(default_factory=dict)


@contextmanager
def watch_coco(dataset: Any) -> Iterator[dict[str, CocoFile]]:
    """Have mmdet's `CocoDataset`, or one that reads as it does, check what it reads.

    Yields:
        What was found in the files that are read in the meantime, by their paths.
    """
    files: dict[str, CocoFile] = {}
    reader: Any = dataset.COCOAPI

    class Checked(reader):
        def __init__(self, annotation_file: str) -> None:
            self.annotation_file = annotation_file
            super().__init__(annotation_file)

        def createIndex(self) -> None:  # pycocotools calls it when the file is read
            check_annotations(self.dataset, self.annotation_file)
            files[self.annotation_file] = read_file(self.dataset)
            super().createIndex()

    dataset.COCOAPI = Checked
    try:
        yield files
    finally:
        dataset.COCOAPI = reader


def read_file(content: Mapping) -> CocoFile:
    """Return what is in a file that `check_annotations` has let pass."""
    names = {category['id']: category['name'] for category in content['categories']}
    found = CocoFile()
    for annotation in content.get('annotations') or ():
        name = names[annotation['category_id']]
        mask, (*_, w, h) = annotation.get('segmentation'), annotation['bbox']
        if annotation.get('ignore') or min(w, h) < 1 or annotation['area'] <= 0:
            continue  # mmdet leaves it out
        found.boxes[name] += 1
        if not mask:
            found.no_mask[annotation['id']] = name
        elif isinstance(mask, list) and not whole_polygons(mask):
            found.no_area[annotation['id']] = name
    return found


def whole_polygons(mask: Sequence) -> list:
    """Return the polygons that have an area: of three corners at least."""
    return [polygon for polygon in mask if len(polygon) >= 6]


def check_annotations(content: Mapping, path: str) -> None:
    """Raise unless a COCO file is whole and its boxes can be learnt from.

    Args:
        content: What is in the file.
        path: Its name in messages.

    Raises:
        ValueError: Names the list, the entry and what is wrong with it.
    """
    for name, keys in KEYS.items():
        check_entries(content, name, keys, path)
    if not content.get('annotations'):
        return
    images = {image['id']: image for image in content['images']}
    categories = dict.fromkeys(category['id'] for category in content['categories'])
    for annotation in content['annotations']:
        told = f'{path}: annotation {annotation["id"]}'
        if not has(images, annotation['image_id']):
            raise ValueError(
                f'{told} has the image_id {annotation["image_id"]!r}, expected one of '
                'an image of the file'
            )
        if not has(categories, annotation['category_id']):
            raise ValueError(
                f'{told} has the category_id {annotation["category_id"]!r}, expected '
                f'one of [{few(map(repr, categories))}]'
            )
        check_box(annotation['bbox'], told)
        check_numbers(annotation, told)
        check_size(annotation.get('segmentation'), images[annotation['image_id']], told)
    check_boxes(content['annotations'], images, path)


def check_entries(content: Mapping, name: str, keys: Sequence[str], path: str) -> None:
    """Raise ValueError unless a list is there, and its entries have keys and ids.

    There may be no annotations, as in the files of COCO's test images.
    """
    entries = content.get(name)
    if name == 'annotations' and not entries:
        return
    if not isinstance(entries, list) or not entries:
        found = 'none' if entries is None else f'{type(entries).__name__} of 0'
        raise ValueError(f"{path} needs a list of '{name}', it has {found}")
    for i, entry in enumerate(entries):
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(f"{path}: {name}[{i}] has no '{missing[0]}'")
    ids = set()
    for i, entry in enumerate(entries):
        if not isinstance(entry['id'], Hashable):
            raise ValueError(f'{path}: {name}[{i}] has the id {entry["id"]}')
        if entry['id'] in ids:
            raise ValueError(f'{path}: several {name} have the id {entry["id"]}')
        ids.add(entry['id'])
    for entry in entries if name == 'images' else ():
        size = entry['width'], entry['height']
        if not all(isinstance(side, Real) and float(side) > 0 for side in size):
            raise ValueError(
                f'{path}: image {entry["id"]} has width and height {size}, expected '
                'positive numbers'
            )


def check_box(box, told: str) -> None:
    """Raise ValueError unless a box is four numbers, the last two not negative."""
    fine = (
        isinstance(box, list)
        and len(box) == 4
        and all(map(is_number, box))
        and min(box[2:]) >= 0
    )
    if not fine:
        raise ValueError(f'{told} has the bbox {box}, expected [x, y, width, height]')


def check_numbers(annotation: Mapping, told: str) -> None:
    """Raise ValueError unless `area` is a number and `iscrowd` 0, 1 or none.

    Text such as '0' would count as a crowd, which is not learnt.
    """
    area, crowd = annotation['area'], annotation.get('iscrowd')
    if not is_number(area):
        raise ValueError(f'{told} has the area {area!r}, expected a number of pixels')
    if crowd not in (None, 0, 1):
        raise ValueError(f'{told} has iscrowd={crowd!r}, expected 0 or 1')


def check_size(mask, image: Mapping, told: str) -> None:
    """Raise ValueError unless a mask is polygons, or run lengths of its image."""
    if isinstance(mask, list):
        for polygon in mask:
            numbers = isinstance(polygon, list) and all(map(is_number, polygon))
            if not numbers or len(polygon) % 2:
                raise ValueError(
                    f'{told} has the polygon {polygon}, expected [x1, y1, x2, y2, ...]'
                )
    if mask is None or isinstance(mask, list):
        return
    size = mask.get('size') if isinstance(mask, dict) else None
    expected = [image['height'], image['width']]
    if size is None or list(size) != expected:
        raise ValueError(
            f'{told} has a segmentation of size {size}, expected polygons or a mask of '
            f'its image, {expected}'
        )
    counts = mask.get('counts')
    if not counts:
        raise ValueError(f'{told} has a segmentation without counts, the run lengths')
    if isinstance(counts, list) and sum(counts) != expected[0] * expected[1]:
        raise ValueError(
            f'{told} has run lengths of {sum(counts)} pixels, expected those of its '
            f'image, {expected}'
        )


def has(entries: Mapping, key) -> bool:
    """Return whether there is such a key, which may be anything."""
    return isinstance(key, Hashable) and key in entries


def is_number(value) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, Real) and math.isfinite(value)


def check_boxes(annotations: Sequence, images: Mapping, path: str) -> None:
    """Say which boxes mmdet leaves out; raise ValueError if they are too many."""
    empty, beyond, sizes, learnt = [], [], [], 0
    for annotation in annotations:
        x, y, w, h = annotation['bbox']
        image = images[annotation['image_id']]
        inside_w = min(x + w, image['width']) - max(x, 0)
        inside_h = min(y + h, image['height']) - max(y, 0)
        if min(w, h) < 1 or min(inside_w, inside_h) <= 0 or annotation['area'] <= 0:
            empty.append(annotation['id'])
        elif not annotation.get('iscrowd'):
            learnt += 1
        if max(w - inside_w, h - inside_h) > 1:  # a pixel is rounding
            beyond.append(annotation['id'])
        area, most = annotation['area'], (w + 1) * (h + 1)
        if area > 1.1 * most or (0 < area < 1 and most > 9):
            sizes.append(annotation['id'])
    total = len(annotations)
    if not learnt:
        raise ValueError(
            f'{path}: none of the {total} boxes can be learnt; expected [x, y, width, '
            'height] in pixels, within the image, and not all of them iscrowd'
        )
    if 2 * len(beyond) > total:
        raise ValueError(
            f'{path}: {len(beyond)} of {total} boxes reach beyond their images, as '
            f'annotation {beyond[0]}; expected [x, y, width, height], not corners'
        )
    if 2 * len(sizes) > total:
        print_log(
            f'{path}: {len(sizes)} of {total} annotations, as {sizes[0]}, have an area '
            'that their box cannot have, so that the AP of small, medium and large '
            'objects is that of others: expected square pixels, of the image as it is',
            'current',
            level=30,
        )
    for ids, fault in ((empty, 'are left out, no pixel'), (beyond, 'are cut, not all')):
        if ids:
            print_log(
                f'{path}: {len(ids)} of {total} boxes {fault} of theirs is in the '
                f'image (annotations {", ".join(map(str, ids[:5]))})',
                'current',
                level=30,
            )
