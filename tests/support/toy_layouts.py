"""Toy copies of data in the layouts of COCO, VOC, ADE20K, Cityscapes and ImageNet."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def picture(path: Path, size=(40, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 255, (*size, 3), np.uint8)).save(path)


def label_map(path: Path, values, size=(40, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.choice(np.array(values, np.uint8), size)).save(path)


def write_coco(root: Path) -> None:
    """COCO: 80 categories with gaps in their ids, a crowd, most classes without box."""
    from mmdet.datasets import CocoDataset

    write_instances(root, CocoDataset.METAINFO['classes'], ('train2017', 'val2017'))


def write_instances(root: Path, names: Sequence[str], parts: Sequence[str]) -> None:
    """Write images and annotations of each part in COCO's layout."""
    categories = [dict(id=i + i // 10 + 1, name=name) for i, name in enumerate(names)]
    for part in parts:
        images, annotations = [], []
        for i in range(4):
            picture(root / part / f'{i:012}.jpg')
            images.append(
                dict(id=100 + i, file_name=f'{i:012}.jpg', width=48, height=40)
            )
            for k in range(i):  # the first has none
                mask = [[2, 2, 30, 2, 30, 20]]
                mask = dict(size=[40, 48], counts=[100, 50, 1770]) if k == 2 else mask
                annotations.append(
                    dict(
                        id=900 + 10 * i + k,
                        image_id=100 + i,
                        category_id=categories[7 * k % len(names)]['id'],
                        bbox=[2, 2, 28, 18],
                        area=250,
                        iscrowd=int(k == 2),
                        segmentation=mask,
                    )
                )
        content = dict(images=images, annotations=annotations, categories=categories)
        path = root / f'annotations/instances_{part}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def write_voc(root: Path) -> None:
    """Pascal VOC: XML of detection and label maps of segmentation, 255 at borders."""
    for year, names in (('2007', ('dog', 'person')), ('2012', ('cat', 'person'))):
        folder = root / f'VOC{year}'
        for kind in ('Main', 'Segmentation'):
            (folder / 'ImageSets' / kind).mkdir(parents=True)
            for part in ('train', 'val', 'trainval', 'test'):
                lists = ''.join(f'{year}_{i}\n' for i in range(3))
                (folder / f'ImageSets/{kind}/{part}.txt').write_text(lists)
        for i in range(3):
            picture(folder / f'JPEGImages/{year}_{i}.jpg')
            label_map(folder / f'SegmentationClass/{year}_{i}.png', [0, 8, 15, 255])
            objects = ''.join(
                f'<object><name>{name}</name><difficult>{int(i == 2)}</difficult>'
                '<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>40</xmax><ymax>38</ymax>'
                '</bndbox></object>'
                for name in names
            )
            (folder / 'Annotations').mkdir(exist_ok=True)
            (folder / f'Annotations/{year}_{i}.xml').write_text(
                '<annotation><size><width>48</width><height>40</height></size>'
                f'{objects}</annotation>'
            )


def write_ade(root: Path) -> None:
    """ADE20K: label 0 is no class, most of the 150 are rare."""
    for part in ('training', 'validation'):
        for i in range(3):
            picture(root / f'images/{part}/ADE_{part}_{i}.jpg')
            label_map(root / f'annotations/{part}/ADE_{part}_{i}.png', [0, 1, 4, 150])


def write_cityscapes(root: Path) -> None:
    """Cityscapes: suffixes in the names, several kinds of label maps side by side."""
    for part in ('train', 'val'):
        for i in range(2):
            stem = f'{part}/aachen/aachen_{i}'
            picture(root / f'leftImg8bit/{stem}_leftImg8bit.png')
            for kind in ('labelTrainIds', 'labelIds', 'instanceIds', 'color'):
                values = [0, 7, 11, 18, 255] if kind == 'labelTrainIds' else [7, 33]
                label_map(root / f'gtFine/{stem}_gtFine_{kind}.png', values)
            (root / f'gtFine/{stem}_gtFine_polygons.json').write_text('{}')


def write_imagenet(root: Path) -> None:
    """ImageNet: a thousand folders that are numbered, their classes are named."""
    names = [f'n{1440764 + 97 * i:08}' for i in range(1000)]
    write_folders(root, names, ('train', 'val'), '.JPEG')


def write_folders(
    root: Path, names: Sequence[str], parts: Sequence[str], suffix: str = '.png'
) -> None:
    """Write a folder a class, each with an image."""
    picture(root / f'image{suffix}')
    for folder in (root / part / name for part in parts for name in names):
        folder.mkdir(parents=True)
        shutil.copy(root / f'image{suffix}', folder / f'{folder.name}_1{suffix}')
