"""Files that lie among the data and are not read, because of their names."""

import os
from collections import Counter
from collections.abc import Iterator

from mmengine.logging import print_log
from torch.utils.data import Dataset

from ...messages import few

MOST = 100_000
"""Files of a folder that are looked at."""
BESIDE = {
    *('.txt', '.json', '.csv', '.tsv', '.xml', '.yml', '.yaml', '.md', '.rst'),
    *('.html', '.pdf', '.db', '.ini', '.log', '.lst', '.cache', '.py', '.sh'),
    *('.zip', '.tar', '.gz', '.tgz', '.md5', '.license', '.lock', ''),
}
"""Ends of names of what is no image: notes, lists, archives."""


def unread_files(dataset: Dataset) -> Counter:
    """Return the ends of names of files that a data set does not read, with numbers.

    Of data sets that find images by their names alone: class folders of mmpretrain, and
    image folders of mmseg. Hidden files, lists and notes are left out.
    """
    if getattr(dataset, 'ann_file', None):
        return Counter()
    if hasattr(dataset, 'extensions') and hasattr(dataset, 'img_prefix'):
        folder, ends = dataset.img_prefix, tuple(dataset.extensions)
    elif hasattr(dataset, 'img_suffix'):
        folder = dataset.data_prefix.get('img_path')
        ends = dataset.img_suffix, dataset.seg_map_suffix
    else:
        return Counter()
    lower = hasattr(dataset, 'extensions')
    found = Counter()
    for name in names_in(folder):
        end = os.path.splitext(name)[1]
        read = (name.lower() if lower else name).endswith(ends)
        if not read and end.lower() not in BESIDE:
            found[end] += 1
    return found


def names_in(folder: str | None) -> Iterator[str]:
    """Yield the names of the first `MOST` files in and below a folder."""
    left = MOST
    for _, folders, names in os.walk(folder or ''):
        folders[:] = [name for name in folders if not name.startswith('.')]
        for name in names[:left]:
            if not name.startswith('.'):
                yield name
        left -= min(len(names), left)
        if not left:
            return


def unread(dataset: Dataset) -> str:
    """Return a clause about files that are there and not read, or ''."""
    found = unread_files(dataset)
    if not found:
        return ''
    ends = few(f'{number} end in {end}' for end, number in found.most_common())
    if hasattr(dataset, 'extensions'):
        return (
            f'{found.total()} files are not read, because of their names '
            f'({ends}); extensions is {few(sorted(dataset.extensions))}'
        )
    return (
        f'{found.total()} files are not read, because of their names '
        f"({ends}); img_suffix is '{dataset.img_suffix}'"
    )


def warn_of_unread(dataset: Dataset, key: str) -> None:
    """Warn of files in the folders of a data set that it does not read."""
    if told := unread(dataset):
        print_log(f'{key}: {told}', 'current', level=30)
    if told := maps_without_image(dataset):
        print_log(f'{key}: {told}', 'current', level=30)
    if number := beside_folders(dataset):
        told = f'{number} images lie beside the class folders and are not read'
        print_log(f'{key}: {told}', 'current', level=30)


def maps_without_image(dataset: Dataset) -> str:
    """Return a clause about label maps that belong to no image that is read, or ''."""
    folder = getattr(dataset, 'data_prefix', {})
    folder = folder.get('seg_map_path') if hasattr(dataset, 'seg_map_suffix') else None
    if not folder or getattr(dataset, 'ann_file', None):
        return ''
    there = sum(name.endswith(dataset.seg_map_suffix) for name in names_in(folder))
    if there <= len(dataset) or there >= MOST or getattr(dataset, '_indices', None):
        return ''
    return f'{there - len(dataset)} of {there} label maps in {folder} have no image'


def beside_folders(dataset: Dataset) -> int:
    """Return how many images lie beside class folders, where none is read."""
    if getattr(dataset, 'ann_file', None) or not hasattr(dataset, 'folder_to_idx'):
        return 0
    ends = tuple(dataset.extensions)
    return sum(
        entry.name.lower().endswith(ends) for entry in os.scandir(dataset.img_prefix)
    )
