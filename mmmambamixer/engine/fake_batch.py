"""Batches of random images with random annotations, to measure models without data."""

import torch

SHAPES = dict(mmpretrain=(224, 224), mmdet=(800, 1280), mmseg=(512, 512))
"""Height and width that are usual in each framework."""
OBJECTS = 8


def fake_batch(
    scope: str, size: int, shape: tuple[int, int], *, channels: int, classes: int
) -> dict:
    """Return a batch as the framework's dataloader would.

    Args:
        scope: 'mmpretrain', 'mmdet' or 'mmseg'.
        size: Images.
        shape: Height and width of each, a noise of bytes.
        channels: Channels of the images.
        classes: Classes that labels are drawn from.
    """
    samples = dict(mmpretrain=label, mmdet=objects, mmseg=label_map)
    if scope not in samples:
        raise ValueError(f'default_scope must be one of {[*samples]}, got {scope}')
    images = torch.randint(256, (size, channels, *shape), dtype=torch.uint8)
    annotated = [samples[scope](shape, classes) for _ in range(size)]
    meta = dict(
        img_shape=shape,
        ori_shape=shape,
        pad_shape=shape,
        batch_input_shape=shape,
        scale_factor=(1.0, 1.0),
        flip=False,
    )
    for index, sample in enumerate(annotated):
        sample.set_metainfo(dict(meta, img_id=index, img_path=''))
    inputs = images if scope == 'mmpretrain' else list(images)
    return dict(inputs=inputs, data_samples=annotated)


def label(shape: tuple[int, int], classes: int):
    from mmpretrain.structures import DataSample

    return DataSample().set_gt_label(torch.randint(classes, (1,)))


def objects(shape: tuple[int, int], classes: int):
    """Return a sample with rectangles, and masks that fill them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    size = torch.tensor(shape).flip(0)
    corner = torch.rand(OBJECTS, 2) * 0.7 * size
    boxes = torch.cat([corner, corner + (0.1 + 0.2 * torch.rand(OBJECTS, 2)) * size], 1)
    masks = torch.zeros(OBJECTS, *shape, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    sample = DetDataSample()
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=torch.randint(classes, (OBJECTS,)),
        masks=BitmapMasks(masks.numpy(), *shape),
    )
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return sample


def label_map(shape: tuple[int, int], classes: int):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    labels = torch.randint(classes, (1, *shape))
    return SegDataSample(gt_sem_seg=PixelData(data=labels))
