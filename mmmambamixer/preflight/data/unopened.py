"""Why a data set cannot be made: what mmpretrain, mmdet and mmseg do not say."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import mmengine

from ...messages import cut, explain, few, innermost
from .agreement import hidden_folders, tell_apart, unread_classes
from .coco import CocoFile, check_annotations
from .counts import other_names
from .unread import unread

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
ELEMENTS = ('name', 'bndbox', *(f'bndbox/{corner}' for corner in CORNERS))
"""What mmdet reads of each object of an XML file."""
EMPTY = 'need at least one array to concatenate'
"""What MMEngine says when it packs a data set without images."""


def explain_data(error: Exception, key: str, files: Mapping[str, CocoFile]) -> str:
    """Return a sentence about a data set whose making failed.

    Args:
        error: With its traceback.
        key: Name of the part, such as `train_dataloader`.
        files: COCO files that were read, by their paths.
    """
    dataset = innermost(error, 'self', 'full_init', 'load_data_list', '_find_samples')
    if told := unread_classes(dataset, key):
        return told
    folders = innermost(error, 'folder_to_idx', '_find_samples')
    if isinstance(error, AssertionError) and folders is not None:
        if told := hidden_folders(folders):
            return f'{dataset.img_prefix} gives {key} {told}'
        apart = tell_apart(dataset.CLASSES, list(folders), 'classes', 'the folder')
        return (
            f'{dataset.img_prefix} has {len(folders)} class folders, {key} names '
            f'{len(dataset.CLASSES)} classes: {apart}; an empty folder keeps the place '
            'of a class without images'
        )
    path = innermost(error, 'annotation_file', '__init__')  # of a COCO file
    if path and isinstance(error, (KeyError, TypeError)):
        try:
            check_annotations(mmengine.load(path), path)
        except ValueError as fault:
            return str(fault)
    if path and isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
        return f'{path} is no COCO annotation file, it is not JSON: {error}'
    if told := faulty_line(error, dataset):
        return told
    if told := unequal_parts(error):
        return f'{key} {told}'
    if "unexpected keyword argument 'classes'" in str(error):
        return (
            f"{key} has the argument 'classes', which its dataset does not take: set "
            'metainfo=dict(classes=...)'
        )
    path = innermost(error, 'img_info', 'parse_data_info')
    path = path.get('xml_path') if isinstance(path, Mapping) else None
    if path and (told := missing_element(path)):
        return f'{path}: {told}'
    if EMPTY not in str(error):
        where = f', the file at fault is {path}' * bool(path)
        told = f'{key} cannot be made: {explain(error)}{where}'
    else:
        told = f'{key} has no image that its filters let pass'
        if path := getattr(dataset, 'ann_file', None):
            told += f', of those in {path}'
        classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
        if names := other_names(dataset, classes, files):
            others = few(f'{name} ({n})' for name, n in names.most_common())
            told += f'; none of its objects is of {few(classes)}, but of {others}'
    clause = unread(dataset) if hasattr(dataset, 'data_prefix') else ''
    return f'{told}; {clause}' if clause else told


def missing_element(path: str) -> str:
    """Return which element an object of an XML file lacks, or ''."""
    try:
        objects = ET.parse(path).iterfind('object')
    except (OSError, ET.ParseError):
        return ''
    for number, entry in enumerate(objects, 1):
        for name in ELEMENTS:
            if entry.find(name) is None:
                return f'object {number} has no <{name.rpartition("/")[2]}>'
    return ''


def unequal_parts(error: Exception) -> str:
    """Return a clause about data sets in one `ConcatDataset` that differ, or ''."""
    parts = innermost(error, 'self', '__init__')
    if 'th dataset' not in str(error) or not hasattr(parts, 'datasets'):
        return ''
    first, *others = (dict(part.metainfo) for part in parts.datasets)
    for number, other in enumerate(others, 2):
        for name in sorted(first.keys() | other.keys()):
            values = [str(part.get(name, 'none')) for part in (first, other)]
            if values[0] != values[1] and name not in parts.ignore_keys:
                return (
                    f'joins data sets that differ in {name}: {cut(values[0], 100)} in '
                    f'the first, {cut(values[1], 100)} in number {number}; give all '
                    'the same, or name it in ignore_keys where it means nothing'
                )
    return ''


def faulty_line(error: Exception, dataset) -> str:
    """Return a sentence about a line of mmpretrain's lists that has no label, or ''."""
    words = innermost(error, 'sample', 'load_data_list')
    path = getattr(dataset, 'ann_file', None)
    if not path or not isinstance(error, ValueError) or not isinstance(words, list):
        return ''
    line = ' '.join(words)
    told = f"the line '{few([line])}'" if line else 'an empty line'
    return (
        f'{path} has {told}, expected in each line the name of an image, a blank and '
        "the number of its class, as 'cat.png 0'"
    )
