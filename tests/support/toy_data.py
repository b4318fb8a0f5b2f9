"""Tiny data sets in the forms of the frameworks, and configs that read them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

BOXES = ((2, 2, 12, 12), (16, 16, 14, 10))


def image(path: Path, size: int = 32, channels: int = 3) -> None:
    """Write a picture of noise; as the suffix says, PNG else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size, size, channels)[: 3 if channels > 1 else 2]
    pixels = np.random.default_rng(size).integers(0, 255, shape, np.uint8)
    kind = None if path.suffix in ('.png', '.jpg', '.tif') else 'png'
    Image.fromarray(pixels).save(path, kind)


def class_folders(root: Path, part: str, names, many=2, suffix='.png', **more) -> dict:
    """Write a folder a class; return the config of the data set.

    Args:
        root: Of all parts.
        part: Folder of this one.
        names: Of the classes.
        many: Images of each, or a list of their numbers.
        suffix: Of the files.
        **more: Further arguments of the data set.
    """
    many = [many] * len(names) if isinstance(many, int) else many
    for name, number in zip(names, many, strict=True):
        (root / part / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            image(root / part / name / f'{i}{suffix}')
    steps = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    arguments = dict(data_root=str(root), data_prefix=part, pipeline=steps)
    return dict(type='CustomDataset', **arguments | more)


def labelled(root: Path, part: str, labels, classes=None) -> dict:
    """Write images and a list of their labels; return the config of the data set."""
    for i in range(len(labels)):
        image(root / part / f'{i}.png')
    lines = ''.join(f'{i}.png {label}\n' for i, label in enumerate(labels))
    (root / f'{part}.txt').write_text(lines)
    return class_folders(
        root, part, (), ann_file=f'{part}.txt', metainfo=dict(classes=classes)
    )


def coco(root: Path, part: str, names, change=None, masks=True, **more) -> dict:
    """Write two images with an object of each class; return the data set's config.

    Args:
        root: Gets the images and `PART.json`.
        part: Name of the part.
        names: Of the categories, in the order of the file.
        change: Called with the content of the file, and may change it.
        masks: Whether the pipeline loads masks.
        **more: Further arguments of the data set.
    """
    images, annotations = [], []
    for i in range(2):
        image(root / f'{part}_{i}.png')
        images.append(dict(id=i, file_name=f'{part}_{i}.png', width=32, height=32))
        for k in range(len(names)):
            x, y, w, h = BOXES[k % 2]
            annotation = dict(
                id=len(annotations) + 1,
                image_id=i,
                category_id=k + 1,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
            annotations.append(annotation)
    content = dict(images=images, annotations=annotations)
    content['categories'] = [dict(id=k, name=name) for k, name in enumerate(names, 1)]
    if change:
        change(content)
    (root / f'{part}.json').write_text(json.dumps(content))
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=masks),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape')),
    ]
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file=f'{part}.json',
        data_prefix=dict(img=''),
        pipeline=steps,
        test_mode=part != 'train',
        **dict(metainfo=dict(classes=tuple(names))) | more,
    )


def voc(root: Path, part: str, names, classes, **more) -> dict:
    """Write an XML file an image, with an object of each name; return the config."""
    for folder in ('JPEGImages', 'Annotations'):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    for i in range(2):
        image(root / part / f'JPEGImages/{i}.jpg')
        objects = ''.join(
            f'<object><name>{name}</name><bndbox><xmin>2</xmin><ymin>2</ymin>'
            '<xmax>20</xmax><ymax>20</ymax></bndbox></object>'
            for name in names
        )
        (root / part / f'Annotations/{i}.xml').write_text(
            '<annotation><size><width>32</width><height>32</height></size>'
            f'{objects}</annotation>'
        )
    (root / part / 'list.txt').write_text('0\n1\n')
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape')),
    ]
    return dict(
        type='XMLDataset',
        data_root=str(root / part),
        ann_file='list.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=tuple(classes)),
        pipeline=steps,
        **more,
    )


def label_maps(root: Path, part: str, names, values, many=2, **more) -> dict:
    """Write label maps of these values in equal stripes; return the config.

    Args:
        root: Of all parts.
        part: Name of this one.
        names: Of the classes.
        values: Of the label maps.
        many: Number of images.
        **more: Further arguments of the data set.
    """
    labels = np.sort(np.resize(np.array(values, np.uint8), 32 * 32)).reshape(32, 32)
    for i in range(many):
        image(root / f'{part}_images/{i}.png')
        path = root / f'{part}_maps/{i}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(labels).save(path)
    steps = ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path=f'{part}_images', seg_map_path=f'{part}_maps'),
        metainfo=dict(classes=tuple(names)),
        pipeline=[dict(type=step) for step in steps],
        **dict(img_suffix='.png') | more,
    )
