"""Whether the data that a config names is there and fits, before it is trained on."""

import json
import os
from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.registry import DATASETS

from ...messages import few


def check_data(config: Config, *parts: str) -> None:
    """Raise unless folders and annotation files exist and name the config's classes.

    Args:
        config: Its datasets may be wrapped (RepeatDataset, ConcatDataset).
        *parts: 'train', 'val' or 'test'.

    Raises:
        FileNotFoundError: If a folder is missing or empty, or a file is missing.
        ValueError: If class names do not match the categories of an annotation file.
    """
    for part in parts:
        key = f'{part}_dataloader'
        for loader in _as_list(config.get(key)):
            for dataset in _datasets(loader.get('dataset') or {}):
                for folder in _folders(dataset):
                    check_folder(folder, key)
                path = annotation_file(dataset)
                check_file(path, key)
                check_coco_classes(dataset, path, config.get('default_scope'))
        for evaluator in _as_list(config.get(f'{part}_evaluator')):
            check_file(evaluator.get('ann_file'), f'{part}_evaluator')


def check_folder(path: str, key: str) -> None:
    if not os.path.isdir(path):
        raise FileNotFoundError(f'no data folder {path}, named by {key}')
    if not any(os.scandir(path)):
        raise FileNotFoundError(f'the data folder {path}, named by {key}, is empty')


def check_file(path: str | None, key: str) -> None:
    if path and '://' not in path and not os.path.isfile(path):
        raise FileNotFoundError(f'no annotation file {path}, named by {key}')


def check_coco_classes(dataset: Mapping, path: str | None, scope: str | None) -> None:
    """Raise unless a CocoDataset's classes are categories of its file, in its order.

    mmdet drops the annotations of classes that it does not find, and names those it
    finds in the order of the file, whatever the order in the config.

    Args:
        dataset: Config of the dataset; other types are left alone.
        path: Its annotation file.
        scope: `default_scope` of the config.

    Raises:
        ValueError: Names the expected and the found classes.
    """
    kind = dataset.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    if not path or not reads_as_coco(kind):
        return
    metainfo = {**kind.METAINFO, **(dataset.get('metainfo') or {})}
    classes = metainfo['classes']
    if isinstance(classes, str):
        if os.path.isfile(classes):  # MMEngine reads such a file, a name in each line
            return
        raise ValueError(
            f"metainfo.classes must be a tuple of names, got the string '{classes}': "
            'is a comma missing?'
        )
    found = coco_categories(path)
    if sorted(set(classes) & set(found)) != sorted(classes):
        raise ValueError(
            f'the config expects the classes {few(classes)}, but {path} has the '
            f'categories {few(found)}: set metainfo.classes to names from there'
        )
    in_file = [name for name in found if name in classes]
    if in_file != list(classes):
        raise ValueError(
            f'{path} has the categories in the order {few(in_file)}, the config in '
            f'{few(classes)}; mmdet takes the order of the file, so classes would '
            'get the names of others'
        )


def reads_as_coco(kind) -> bool:
    """Return whether a data set is mmdet's `CocoDataset`, or an own class of it."""
    bases = getattr(kind, '__mro__', ())
    base = next((base for base in bases if base.__name__ == 'CocoDataset'), None)
    own = base is not None and not kind.__module__.startswith('mmdet.')
    return base is not None and (
        kind is base or (own and kind.load_data_list is base.load_data_list)
    )


def coco_categories(path: str) -> list[str]:
    """Return the category names of a COCO file in its order.

    Raises:
        ValueError: If the file is no COCO annotation file.
    """
    try:
        with open(path, encoding='utf-8') as file:
            text = file.read()
        # Only the categories are parsed: the whole file of COCO takes many seconds.
        start = text.rindex('"categories"') + len('"categories"')
        start = text.index('[', start)
        categories, _ = json.JSONDecoder().raw_decode(text, start)
        return [category['name'] for category in categories]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no COCO annotation file, it has no readable list of '
            f'categories ({error})'
        ) from error


def annotation_file(dataset: Mapping) -> str | None:
    """Return the path that a dataset's `ann_file` stands for; None if it has none."""
    name = dataset.get('ann_file')
    if not name or '://' in name:
        return None
    return os.path.join(dataset.get('data_root') or '', name)


def _as_list(value) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _datasets(dataset: Mapping) -> Iterator[Mapping]:
    """Yield a dataset's config, or those inside if it wraps others."""
    if isinstance(dataset.get('dataset'), Mapping):  # RepeatDataset and the like
        yield from _datasets(dataset['dataset'])
    elif dataset.get('datasets'):  # ConcatDataset
        for inner in dataset['datasets']:
            yield from _datasets(inner)
    else:
        yield dataset


def _folders(dataset: Mapping) -> Iterator[str]:
    root = dataset.get('data_root') or ''
    if '://' in root:
        return
    if root:
        yield root
    prefix = dataset.get('data_prefix')
    for value in prefix.values() if isinstance(prefix, Mapping) else [prefix]:
        if isinstance(value, str) and value and '://' not in value:
            yield os.path.join(root, value)
