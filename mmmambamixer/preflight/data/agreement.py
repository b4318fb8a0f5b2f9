"""Whether the parts of one run mean the same: classes, labels, bands, columns.

Training, validation and test data, evaluators, heads and checkpoints say each for
itself which classes there are and which pixels are ignored. MMEngine compares none of
it, and labels that are shifted by one give wrong numbers without a word.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import Dataset

from ...messages import few
from ...wrappers import unwrapped

WARNING = 30
"""Level of what is told and not refused."""
COLUMNS = dict(variates='variates', known='future covariates', static='static features')
"""Lists of names in the `metainfo` of a table, and what they are called."""
RENAME = (
    '; if they are the same classes under other names, set metainfo.classes of the '
    'data set to the names of the other'
)


@dataclass(frozen=True)
class Part:
    """What a part of a run says about the data.

    Attributes:
        name: Of the part in messages, such as `val_dataloader` or a checkpoint's path.
        classes: Names in the order of the labels; empty where it names none.
        folders: Class folders that the labels come from; empty if from elsewhere.
        reduce_zero_label: Whether label 0 is ignored and the others move down.
        channels: Bands of an image.
        columns: Names of a table's columns by kind, see `COLUMNS`.
    """

    name: str
    classes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    reduce_zero_label: bool | None = None
    channels: int | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def part_of(dataset: Dataset, name: str, channels: int | None = None) -> Part:
    """Return what a data set says; `channels` are those of its first image."""
    meta = getattr(dataset, 'metainfo', {})
    from_folders = not getattr(dataset, 'ann_file', None)
    folders = getattr(dataset, 'folder_to_idx', {}) if from_folders else {}
    return Part(
        name,
        names_of(meta.get('classes')),
        tuple(folders),
        getattr(dataset, 'reduce_zero_label', None),
        channels,
        {key: names_of(meta.get(key)) for key in COLUMNS if 'variates' in meta},
    )


def trained_part(meta: Mapping, path: str) -> Part:
    """Return what a checkpoint at `path` says in its `meta`, old forms included."""
    data = meta.get('dataset_meta') or {}
    given = (data.get('classes'), data.get('CLASSES'), meta.get('CLASSES'))
    classes = next(filter(None, map(names_of, given)), ())
    return Part(path, classes, reduce_zero_label=data.get('reduce_zero_label'))


def names_of(value) -> tuple[str, ...]:
    """Return a list of names; nothing if it is no list."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()


def unread_classes(dataset: Dataset, key: str) -> str:
    """Return a sentence about classes that a data set does not read as names, or ''."""
    meta = getattr(dataset, 'metainfo', None) or {}
    classes = meta.get('classes')
    if isinstance(classes, str):
        return (
            f'metainfo.classes of {key} is the text {classes!r}, expected a list of '
            f'names, such as [{classes!r}], or the path of a file with a name in each '
            'line'
        )
    if names_of(meta.get('CLASSES')) not in ((), names_of(classes)):
        return f"metainfo of {key} has 'CLASSES', which nothing reads: write 'classes'"
    return ''


def check_agreement(parts: Sequence[Part], *, has_heads: bool = True) -> None:
    """Raise unless all parts agree with the first.

    Args:
        parts: The first is what the others must agree with.
        has_heads: Whether the model tells a fixed set of classes apart; classes may
            differ where it does not, as in retrieval.

    Raises:
        ValueError: Names both parts, what differs and the remedy.
    """
    for part in parts:
        if has_heads:
            check_folders(part)
    for first, part in ((parts[0], part) for part in parts[1:]):
        if has_heads and first.classes and part.classes:
            check_classes(first, part)
            check_folders_alike(first, part)
        check_labels_alike(first, part)
        if None not in (first.channels, part.channels) and (
            first.channels != part.channels
        ):
            raise ValueError(
                f'the images of {part.name} have {part.channels} channels, those of '
                f'{first.name} {first.channels}: load both in the same way'
            )
        for kind, noun in COLUMNS.items():
            names = first.columns.get(kind), part.columns.get(kind)
            if None not in names and names[0] != names[1]:
                raise ValueError(
                    f'the {noun} of {part.name} are not those of {first.name}: '
                    f'{tell_apart(*names, first.name, part.name)}; give both the same '
                    'columns in the same order'
                )


def check_classes(trained: Part, tested: Part) -> None:
    """Raise ValueError unless two parts name the same classes in the same order.

    Names that differ by case, blanks, hyphens or underscores are the same. Numbers and
    identifiers that share nothing with the names of the other part cannot be
    compared: a warning says so.
    """
    if alike(trained.classes, tested.classes):
        return
    told = tell_apart(trained.classes, tested.classes, trained.name, tested.name)
    told = f'the classes of {tested.name} are not those of {trained.name}: {told}'
    if nameless(trained.classes, tested.classes):
        print_log(
            f'{told}; labels are taken to be in the same order',
            'current',
            level=WARNING,
        )
        return
    if tested.folders == tested.classes:
        remedy = (
            '; make the class folders the same, an empty folder keeps the place of a '
            'class without images'
        )
    else:
        remedy = '; take the same classes in the same order'
    same = Counter(trained.classes) == Counter(tested.classes)
    raise ValueError(told + remedy + RENAME * (not same))


def warn_of_classes(trained: Part, data: Part) -> None:
    """Warn if a training starts from weights for other classes than its data's."""
    if trained.classes and data.classes and not alike(trained.classes, data.classes):
        told = tell_apart(trained.classes, data.classes, trained.name, data.name)
        print_log(
            f'the training starts from {trained.name}, whose head was trained on other '
            f'classes than those of {data.name}: {told}; load_except starts parts of '
            'the model anew',
            'current',
            level=WARNING,
        )


def warn_of_names(trained, given, path: str) -> None:
    """Warn if a config names other classes than the checkpoint that predicts.

    Args:
        trained: Classes of the checkpoint, None if it names none.
        given: Those of the config's data set.
        path: Of the checkpoint.
    """
    trained, given = names_of(trained), names_of(given)
    if trained and given and not alike(trained, given):
        told = tell_apart(trained, given, path, 'test_dataloader')
        print_log(
            f'the classes of test_dataloader are not those of {path}: {told}; '
            'predictions have the names of the checkpoint',
            'current',
            level=WARNING,
        )


def check_folders(part: Part) -> None:
    """Raise ValueError if class folders stand at other places than their classes.

    Labels count the folders in the order of their names, whatever `metainfo` says. All
    other names are fine, but those of hidden folders: ImageNet's folders are numbers.
    """
    if told := hidden_folders(part.folders):
        raise ValueError(f'{part.name} has {told}')
    if moved(part.classes, part.folders):
        told = tell_apart(part.classes, part.folders, 'metainfo.classes', 'the folders')
        raise ValueError(
            f'{part.name} takes its labels from class folders in the order of their '
            f'names, and metainfo.classes names others: {told}; give metainfo.classes '
            'in the order of the folders, or leave it out'
        )


def hidden_folders(folders: Iterable[str]) -> str:
    """Return a clause about hidden folders among those of classes, or ''."""
    hidden = [name for name in folders if name.startswith('.')]
    if not hidden:
        return ''
    return (
        f'a class for the hidden folder {few(hidden)}, as notebooks make them: remove '
        'it, so that the other classes keep their labels'
    )


def check_folders_alike(first: Part, part: Part) -> None:
    """Raise ValueError if folders of one label are not the same; warn if they may be.

    Of two data sets whose `metainfo` names the classes; without it `check_classes`
    compares the folders.
    """
    if not first.folders or not part.folders or alike(first.folders, part.folders):
        return
    told = tell_apart(first.folders, part.folders, first.name, part.name)
    told = f'the class folders of {part.name} are not those of {first.name}: {told}'
    if moved(first.folders, part.folders):
        raise ValueError(f'{told}; make them the same, so that labels mean the same')
    print_log(told, 'current', level=WARNING)


def check_labels_alike(first: Part, part: Part) -> None:
    """Raise ValueError if label 0 is a class in one part and ignored in the other."""
    values = first.reduce_zero_label, part.reduce_zero_label
    if None not in values and bool(values[0]) != bool(values[1]):
        raise ValueError(
            f'{first.name} has reduce_zero_label={values[0]}, {part.name} has '
            f'{values[1]}: labels of one are shifted by one against the other; set it '
            'to the same in both'
        )


def check_ignored(
    model: nn.Module, datasets: Mapping[str, Sequence[Dataset]], metrics: Mapping
) -> None:
    """Warn if heads, losses, data and metrics of a segmenter ignore other values.

    Args:
        model: Left alone if it has no `decode_head`.
        datasets: Data sets without wrappers, by the name of their part.
        metrics: Metrics by the name of their evaluator.
    """
    found = list(ignored_values(model, datasets, metrics))
    if len({value for _, value in found}) > 1:
        told = ', '.join(f'{place} {value}' for place, value in dict(found).items())
        print_log(
            f'ignored pixels have different values: {told}; what one part ignores is a '
            'label for another: set all to one value',
            'current',
            level=WARNING,
        )


def ignored_values(model, datasets, metrics) -> Iterator[tuple[str, int]]:
    """Yield each place that says which label is ignored, and the label."""
    model = unwrapped(model)
    if not hasattr(model, 'decode_head'):
        return
    for name, module in model.named_modules():
        if '_head' in name and isinstance(getattr(module, 'ignore_index', None), int):
            yield f'model.{name}.ignore_index', module.ignore_index
    value = getattr(model.data_preprocessor, 'seg_pad_val', None)
    if isinstance(value, int):
        yield 'data_preprocessor.seg_pad_val', value
    for key, part in datasets.items():
        for dataset in part:
            if isinstance(getattr(dataset, 'ignore_index', None), int):
                yield f'{key}.dataset.ignore_index', dataset.ignore_index
            for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
                value = getattr(step, 'seg_pad_val', None)
                if isinstance(value, int):
                    yield f'{type(step).__name__}.seg_pad_val of {key}', value
    for key, part in metrics.items():
        for metric in part:
            if isinstance(getattr(metric, 'ignore_index', None), int):
                yield f'{key}.ignore_index', metric.ignore_index


def ignored_labels(model: nn.Module, metrics: Sequence, dataset: Dataset) -> set[int]:
    """Return the labels of pixels that losses, or else metrics, leave out."""
    heads = [
        module.ignore_index
        for name, module in unwrapped(model).named_modules()
        if name.endswith('_head')
        and isinstance(getattr(module, 'ignore_index', None), int)
    ]
    values = [getattr(metric, 'ignore_index', None) for metric in metrics] or heads
    values = [value for value in values if isinstance(value, int)]
    return set(values) or {getattr(dataset, 'ignore_index', 255)}


def alike(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether names are the same, but for case, blanks, hyphens, underscores."""
    if tuple(first) == tuple(second):
        return True
    plain = plain_names(first), plain_names(second)
    unique = all(
        len({*short}) == len({*names})
        for short, names in zip(plain, (first, second), strict=True)
    )
    return unique and plain[0] == plain[1]


def plain_names(names: Sequence[str]) -> list[str]:
    """Return names without case, blanks, hyphens and underscores.

    Letters with accents have two forms; folders of macOS often have the other one.
    """
    names = [unicodedata.normalize('NFC', name) for name in names]
    return [re.sub(r'[\s_-]+', '', name).casefold() for name in names]


def moved(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether a name of both lists has another place in the second."""
    places = [{n: i for i, n in reversed(list(enumerate(x)))} for x in (first, second)]
    return any(places[1].get(name, i) != i for name, i in places[0].items())


def nameless(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether one list has as many numbers or identifiers as the other names."""
    if len(first) != len(second) or {*first} & {*second}:
        return False
    return any(
        all(re.fullmatch(r'\D{0,8}\d+', name) for name in names)
        for names in (first, second)
    )


def tell_apart(
    first: Sequence[str], second: Sequence[str], first_name: str, second_name: str
) -> str:
    """Return which names each of two lists lacks, or the first that has moved."""
    lacking = [name for name in first if name not in second]
    more = [name for name in second if name not in first]
    told = [f'{second_name} lacks {few(lacking)}'] * bool(lacking)
    told += [f'{first_name} lacks {few(more)}'] * bool(more)
    if told or len(first) != len(second):
        return ' and '.join(told) or f'{len(first)} and {len(second)} names'
    i = next(i for i, name in enumerate(first) if name != second[i])
    return f"place {i} is '{first[i]}' in {first_name}, '{second[i]}' in {second_name}"
