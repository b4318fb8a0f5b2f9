"""How many images, objects or pixels of each class there are to learn from."""

import math
import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import mmengine
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ...messages import did_you_mean, few
from .agreement import plain_names
from .coco import CocoFile
from .label_maps import count_pixels, loading_steps
from .samples import UnusableSample, alien_label

MOST = 200_000
"""Images whose entries are counted; of more a sample with a fixed seed."""
XML_FILES = 256
"""Files of which all names are read, those that are no class too."""
FEW_CLASSES = 20
"""Of so few classes each should be in a sample; more may have rare ones."""
INFO, WARNING = 20, 30


@dataclass
class Count:
    """What a part of the data holds.

    Attributes:
        unit: 'image', 'object' or 'pixel'.
        labels: Number of each label, of ignored ones too where the unit is a pixel.
        looked_at: Images or label maps that were counted.
        images: All of them.
        others: Names in annotation files that no class has, with their numbers.
        ignored: Objects that are left out, as crowds or difficult ones.
        empty: Objects whose boxes have no pixel in their image.
    """

    unit: str
    labels: Counter = field(default_factory=Counter)
    looked_at: int = 0
    images: int = 0
    others: Counter = field(default_factory=Counter)
    ignored: int = 0
    empty: int = 0

    def __add__(self, other: 'Count') -> 'Count':
        return Count(
            self.unit,
            self.labels + other.labels,
            self.looked_at + other.looked_at,
            self.images + other.images,
            self.others + other.others,
            self.ignored + other.ignored,
            self.empty + other.empty,
        )


def count_labels(
    dataset: Dataset,
    classes: Sequence[str],
    ignored: Set[int],
    files: Mapping[str, CocoFile],
) -> Count | None:
    """Return what a data set without wrappers holds; None if it says nothing of it.

    Args:
        dataset: With `get_data_info`, as those of MMEngine.
        classes: Names of its classes.
        ignored: Labels of pixels that are left out.
        files: COCO files that were read.

    Raises:
        UnusableSample: Names a file whose labels are no class.
    """
    if not hasattr(dataset, 'get_data_info') or not len(dataset):
        return None
    info = dataset.get_data_info(0)
    if 'instances' in info:
        count = count_objects(dataset, len(classes))
        count.others = other_names(dataset, classes, files)
        return count
    if info.get('seg_map_path') and loading_steps(dataset):
        labels, looked_at = count_pixels(dataset, len(classes), ignored)
        return Count('pixel', labels, looked_at, len(dataset))
    if 'gt_label' in info:
        labels, looked_at = count_images(dataset, len(classes))
        return Count('image', labels, looked_at, len(dataset))
    return None


def count_images(dataset: Dataset, classes: int) -> tuple[Counter, int]:
    """Return the images of each label of a classification, and how many were read."""
    labels, indices = Counter(), some_of(len(dataset))
    for index in indices:
        info = dataset.get_data_info(index)
        given = info['gt_label']
        for label in given if isinstance(given, Iterable) else [given]:
            if not 0 <= label < classes:
                told = alien_label(label, classes)
                raise UnusableSample(f'the image {info["img_path"]} has {told}')
            labels[int(label)] += 1
    return labels, len(indices)


def count_objects(dataset: Dataset, classes: int) -> Count:
    """Return the objects of each class, those that are ignored, and those without area.

    Raises:
        UnusableSample: Names an image with an object of a label that is no class.
    """
    indices = some_of(len(dataset))
    count = Count('object', looked_at=len(indices), images=len(dataset))
    for index in indices:
        info = dataset.get_data_info(index)
        for instance in info['instances']:
            label = instance.get('bbox_label')
            if label is None or instance.get('ignore_flag'):
                count.ignored += label is not None
                continue
            if not 0 <= label < classes:
                told = alien_label(label, classes)
                raise UnusableSample(
                    f'an object in the image {info["img_path"]} has {told}'
                )
            if is_empty(instance.get('bbox'), info):
                count.empty += 1
            else:
                count.labels[int(label)] += 1
    return count


def is_empty(box, info: Mapping) -> bool:
    """Return whether a box, as (x1, y1, x2, y2), has no pixel in its image."""
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        return False
    right, bottom = info.get('width') or math.inf, info.get('height') or math.inf
    x1, y1, x2, y2 = box
    return min(x2, right) <= max(x1, 0) or min(y2, bottom) <= max(y1, 0)


def some_of(size: int) -> Sequence[int]:
    """Return all indices, or a sample of `MOST` with a fixed seed."""
    return range(size) if size <= MOST else random.Random(0).sample(range(size), MOST)


def other_names(
    dataset: Dataset, classes: Sequence[str], files: Mapping[str, CocoFile]
) -> Counter:
    """Return names of objects that no class has, from COCO or XML files."""
    if file := files.get(getattr(dataset, 'ann_file', None)):
        names = file.boxes
    elif hasattr(dataset, 'ann_subdir'):
        names = xml_names(dataset)
    else:
        return Counter()
    return Counter({name: n for name, n in names.items() if name not in classes})


def xml_names(dataset: Dataset) -> Counter:
    """Return how often each name stands in XML files, of at most `XML_FILES`."""
    ids = mmengine.list_from_file(dataset.ann_file)
    names = Counter()
    for name in random.Random(0).sample(ids, min(len(ids), XML_FILES)):
        path = Path(dataset.sub_data_root, dataset.ann_subdir, f'{name}.xml')
        for entry in ET.parse(path).iterfind('object/name'):
            names[entry.text] += 1
    return names


def check_counts(
    count: Count, classes: Sequence[str], key: str, *, learns: bool, ignored: Set[int]
) -> None:
    """Say what there is of each class; raise if nothing at all can be learnt.

    Args:
        count: Of all data sets of a part.
        classes: Names of the classes.
        key: Name of the part.
        learns: Whether it is trained on; what is only measured is never refused.
        ignored: Labels that the heads leave out.

    Raises:
        ValueError: If there is no object, image or pixel of any class, or of one class
            only where others are to be told from it; names the numbers.
    """
    unit, labels = count.unit, count.labels
    wanted = [i for i in range(len(classes)) if unit != 'pixel' or i not in ignored]
    seen = [i for i in wanted if labels[i]]
    unseen = [classes[i] for i in wanted if not labels[i]]
    complete = count.looked_at == count.images
    where = f'{count.images:,} images'
    if not complete:
        where = f'{count.looked_at:,} of {where}, drawn with a fixed seed'
    told = numbers(count, classes, ignored) + spelling(count, unseen or classes)
    least = 1 if unit == 'object' or len(wanted) == 1 else 2
    if len(seen) < least:
        only = f'only {unit}s of the class {classes[seen[0]]}' if seen else f'no {unit}'
        found = f'{key} has {only} in {where}: {told}'
        if learns and complete:
            raise ValueError(
                f'{found}; expected {unit}s of {few(classes)}, so there is nothing to '
                f'learn{HINTS[unit]}'
            )
        print_log(found + HINTS[unit], 'current', level=WARNING)
    elif unseen:
        sure = complete or len(classes) <= FEW_CLASSES or 2 * len(seen) < len(wanted)
        print_log(
            f'{key} has no {unit} of {len(unseen)} of {len(classes)} classes '
            f'({few(unseen)}) in {where}: {told}',
            'current',
            level=WARNING if sure else INFO,
        )
    else:
        meant = {*plain_names(classes)} & {*plain_names(list(count.others))}
        level = WARNING if meant or count.empty else INFO
        print_log(f'{key}: {where}, {told}', 'current', level=level)


HINTS = dict(
    image=': are the labels right?',
    object=': are annotation file and names of the classes right?',
    pixel=': label maps hold class indices from 0; of binary masks of 0 and 255 make '
    '0 and 1',
)
"""What may be wrong where there is nothing to learn, by unit."""


def numbers(count: Count, classes: Sequence[str], ignored: Set[int]) -> str:
    """Return the numbers of the classes, the most frequent first, and of the rest."""
    names = [
        f'{classes[label]} ({number:,})'
        for label, number in count.labels.most_common()
        if 0 <= label < len(classes)
    ]
    told = f'{count.unit}s of {few(names)}' if names else f'no {count.unit} of a class'
    beyond = {i: n for i, n in count.labels.items() if not 0 <= i < len(classes)}
    for label, number in beyond.items():
        told += f'; {number:,} of the label {label}, which is ignored'
    if count.ignored:
        told += f'; {count.ignored:,} are ignored, as crowds or difficult ones'
    if count.empty:
        told += f'; {count.empty:,} have boxes without a pixel in their image'
    return told


def spelling(count: Count, unseen: Sequence[str]) -> str:
    """Return which names no class has, with the class that may have been meant."""
    if not count.others:
        return ''
    names = [
        f'{name if name == str(name).strip() else repr(name)} ({number:,})'
        for name, number in count.others.most_common()
    ]
    meant = next(filter(None, (did_you_mean(n, unseen) for n in count.others)), '')
    return f'; {count.unit}s of other names: {few(names)}{meant}'
