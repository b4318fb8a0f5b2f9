"""Whether the parts of a model fit each other and the classes, before it runs."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..messages import few
from ..wrappers import unwrapped

OWN_CLASSES = ('rpn_head', 'semantic_head')
"""Heads whose number of classes is not that of the data set."""
HEADS = ('head', 'decode_head', 'auxiliary_head')
"""Heads of mmpretrain and mmseg that may read the backbone's maps."""

DENSE = ('rpn_head', 'bbox_head')
"""Heads of mmdet that read all maps of the neck."""


def head_classes(model: nn.Module) -> dict[str, int]:
    """Return `num_classes` of each head that tells the classes of the data apart."""
    counts = {}
    for name, module in unwrapped(model).named_modules():
        parts = name.split('.')
        if (
            any(part.endswith('head') for part in parts)
            and not any(part in OWN_CLASSES for part in parts)
            and not tells_others(module)
            and isinstance(getattr(module, 'num_classes', None), int)
        ):
            counts[name] = module.num_classes
    return counts


def tells_others(head: nn.Module) -> bool:
    """Return whether a head tells edges (STDC), or objects from ground (RPN)."""
    kinds = (kind.__name__ for kind in type(head).__mro__)
    return hasattr(head, 'boundary_threshold') or any(
        kind.endswith('RPNHead') for kind in kinds
    )


def check_num_classes(model: nn.Module, classes: Sequence[str], dataset: str) -> None:
    """Raise unless every head has as many classes as the data set.

    Args:
        model: Classifier, detector or segmenter.
        classes: Names of the data set's classes.
        dataset: Its name in the message.

    Raises:
        ValueError: Names the head and both numbers.
    """
    for name, count in head_classes(model).items():
        if count != len(classes):
            raise ValueError(
                f'{name}.num_classes must be {len(classes)}, the number of classes of '
                f'{dataset} ({few(classes)}), got {count}'
                + '; or are classes missing there?'
                * (count > len(classes))
            )


def check_channels(model: nn.Module) -> None:
    """Raise unless neck or heads expect the channels that the backbone gives.

    Args:
        model: Left alone if its backbone does not say its `out_channels`.

    Raises:
        ValueError: Names the part, what it must expect and what it does.
    """
    model = unwrapped(model)
    given = getattr(getattr(model, 'backbone', None), 'out_channels', None)
    if not isinstance(given, (list, tuple)):
        return
    given = list(given)
    neck = getattr(model, 'neck', None)
    check_pooling(neck)
    check_levels(model, neck, len(given))
    if neck is not None and type(neck).__name__ != 'GlobalAveragePooling':
        neck = neck[0] if isinstance(neck, nn.Sequential) else neck
        wanted = getattr(neck, 'in_channels', None)
        if isinstance(wanted, (list, tuple)):
            # Some necks list them from the deepest map to the shallowest.
            _compare('neck', list(wanted), given, [given, given[::-1]])
        return
    for name in HEADS:
        head = getattr(model, name, None)
        heads = enumerate(head) if isinstance(head, nn.ModuleList) else [(None, head)]
        for i, part in heads:
            wanted = getattr(part, 'in_channels', None)
            if wanted is not None:
                told = name if i is None else f'{name}.{i}'
                expected = _selected(part, given, told)
                wanted = list(wanted) if isinstance(wanted, (list, tuple)) else wanted
                _compare(told, wanted, given, [expected])


def check_pooling(neck: nn.Module | None) -> None:
    """Raise ValueError if mmpretrain's neck pools something else than maps."""
    kinds = {nn.AdaptiveAvgPool1d: 1, nn.AdaptiveAvgPool3d: 3}
    dim = kinds.get(type(getattr(neck, 'gap', None)))
    if dim is not None:
        raise ValueError(
            'neck.dim must be 2, for the backbone gives maps with height and width, '
            f'got {dim}'
        )


def check_levels(model: nn.Module, neck: nn.Module | None, maps: int) -> None:
    """Raise ValueError unless dense heads have a stride for each map that they get.

    Args:
        model: Detector.
        neck: Its neck; left alone if it does not say its `num_outs`.
        maps: How many the backbone gives.
    """
    necks = neck if isinstance(neck, nn.Sequential) else [neck]
    outs = [getattr(part, 'num_outs', None) for part in necks if part is not None]
    outs = [number for number in outs if isinstance(number, int)]
    if neck is not None and not outs:
        return
    levels, giver = (outs[-1], 'neck') if outs else (maps, 'backbone')
    for name in DENSE:
        priors = getattr(getattr(model, name, None), 'prior_generator', None)
        strides: Any = getattr(priors, 'strides', levels)
        if strides is not levels and len(strides) != levels:
            raise ValueError(
                f'{name} has anchors or points of {len(strides)} strides, but the '
                f'{giver} gives {levels} maps: it needs a stride for each'
            )


def input_channels(model: nn.Module) -> int | None:
    """Return the channels of the images that a model reads, None if it does not say.

    Some backbones, as MobileNetV2, count the channels of their layers in `in_channels`,
    so the first layer must read as many.
    """
    backbone = getattr(unwrapped(model), 'backbone', None)
    channels = getattr(backbone, 'in_channels', None)
    if not isinstance(channels, int):
        return None
    first = next((x for x in backbone.modules() if isinstance(x, nn.Conv2d)), None)
    return channels if first is None or first.in_channels == channels else None


def check_preprocessor(model: nn.Module) -> None:
    """Raise unless mean and deviation of the data preprocessor are usable.

    Args:
        model: Left alone where its preprocessor has none.

    Raises:
        ValueError: If they are for another number of channels than the backbone reads,
            or a deviation is not positive.
    """
    channels = input_channels(model)
    preprocessor = getattr(unwrapped(model), 'data_preprocessor', None)
    for name in ('mean', 'std'):
        numbers = getattr(preprocessor, name, None)
        if not isinstance(numbers, Tensor):
            continue
        if channels is not None and numbers.numel() not in (1, channels):
            raise ValueError(
                f'data_preprocessor.{name} has {numbers.numel()} numbers, but '
                f'backbone.in_channels is {channels}'
            )
        if name == 'std' and not (numbers > 0).all():
            told = numbers.flatten().tolist()
            raise ValueError(f'data_preprocessor.std must be positive, got {told}')


def _selected(head: nn.Module, given: list[int], name: str):
    """Return what `in_channels` of a head must be after its choice of maps."""
    index = getattr(head, 'in_index', -1)
    indices = index if isinstance(index, (list, tuple)) else [index]
    if max(indices) >= len(given):
        raise ValueError(
            f'{name}.in_index is {index}, but the backbone gives {len(given)} maps, '
            f'with out_channels {given}'
        )
    chosen = [given[i] for i in indices]
    if getattr(head, 'input_transform', None) == 'resize_concat':
        return sum(chosen)
    return chosen if isinstance(index, (list, tuple)) else chosen[0]


def _compare(name: str, wanted, given: list[int], allowed: list) -> None:
    if wanted not in allowed:
        raise ValueError(
            f'{name}.in_channels must be {allowed[0]}, for the backbone gives '
            f'out_channels {given}, got {wanted}'
        )
