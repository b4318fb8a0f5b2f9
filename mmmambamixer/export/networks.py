"""What of a trained model is exported: a network with named inputs and outputs.

Axis letters: b batch, i channels of an image, h w its size, k classes, t look-back,
m variates, q quantiles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.forecasters.forecaster import Forecaster
from ..models.layers.s6 import pool_tokens

BATCH, HEIGHT, WIDTH = 'batch', 'height', 'width'
"""Axes whose size may stay open."""


@dataclass(frozen=True)
class Entry:
    """An input: its axes, each a size or the name of an open one.

    Args:
        axes: As `('batch', 3, 'height', 'width')`.
        pixels: Whether it is of uint8.
        mean: Of the usual values, along the last axis.
        std: Likewise.
    """

    axes: tuple[int | str, ...]
    pixels: bool = False
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def draw(self, sizes: Mapping[str, int]) -> Tensor:
        """Return random values; `sizes` has those of the open axes."""
        shape = [sizes[a] if isinstance(a, str) else a for a in self.axes]
        if self.pixels:
            return torch.randint(256, shape, dtype=torch.uint8)
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return mean + std * torch.randn(shape)


@dataclass
class Network:
    """A module with what there is to know of it outside.

    Args:
        task: 'classification', 'segmentation', 'features', 'detection' or
            'forecasting'.
        module: From the inputs, in their order, to a tuple of outputs.
        inputs: By name.
        outputs: Names.
        facts: What belongs into the file's metadata.
        note: What the user should know, or ''.
    """

    task: str
    module: nn.Module
    inputs: dict[str, Entry]
    outputs: tuple[str, ...]
    facts: dict[str, object] = field(default_factory=dict)
    note: str = ''


class Classifier(nn.Module):
    """Image `(b, i, h, w)` -> probabilities `(b, k)`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.model(image, mode='tensor').softmax(-1),)


class Segmenter(nn.Module):
    """Image `(b, i, h, w)` -> logits `(b, k, h, w)`, label map `(b, h, w)` int64."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = F.interpolate(
            self.model(image, mode='tensor'),
            size=image.shape[2:],
            mode='bilinear',
            align_corners=self.model.align_corners,
        )
        if logits.shape[1] == 1:
            labels = (logits[:, 0].sigmoid() > self.model.decode_head.threshold).long()
        else:
            labels = logits.argmax(1)
        return logits, labels


class Maps(nn.Module):
    """Image `(b, i, h, w)` -> the maps of a backbone, or of the neck behind it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.extract = getattr(model, 'extract_feat', model)
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.extract(image))


class DenseDetector(nn.Module):
    """Image `(b, i, h, w)` -> what the head says at each place of each map, raw."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        kinds = self.model(image, mode='tensor')
        return tuple(level for kind in kinds for level in kind)


class Forecast(nn.Module):
    """Look-back `(b, t, m)` -> forecast `(b, h, m)`, or `(q, b, h, m)`.

    Beside it goes what is known of the future and of the variates, if the model reads
    that.
    """

    def __init__(self, model: Forecaster, known: bool, static: bool) -> None:
        super().__init__()
        self.model, self.known, self.static = model, known, static

    def forward(self, past: Tensor, *covariates: Tensor) -> tuple[Tensor]:
        given = list(covariates)
        known = given.pop(0) if self.known else None
        static = given.pop(0) if self.static else None
        return (self.model(past, known=known, static=static),)


class GridPool(nn.Module):
    """Adaptive average pooling of maps of any size, as two products."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        pooled = pool_tokens(x.flatten(2), h, w, self.side)
        return pooled.unflatten(2, (self.side, self.side))


def network_of(model: nn.Module) -> Network:
    """Return what is exported of a model.

    Raises:
        ValueError: If it is of none of the known kinds.
    """
    if isinstance(model, Forecaster):
        return _forecaster(model)
    _replace_pools(model)
    backbone = getattr(model, 'backbone', model)
    if not hasattr(backbone, 'in_channels'):
        raise ValueError(
            f'a {type(model).__name__} cannot be exported: expected a classifier, '
            'segmenter or detector with a ViM2 backbone, a ViM2, or a forecaster'
        )
    image = {'image': Entry((BATCH, backbone.in_channels, HEIGHT, WIDTH))}
    if hasattr(model, 'decode_head'):
        names = ('logits', 'labels')
        return Network('segmentation', Segmenter(model), image, names)
    if hasattr(model, 'bbox_head') and not hasattr(model, 'roi_head'):
        return _dense_detector(model, image)
    if getattr(model, 'head', None) is not None:
        return Network('classification', Classifier(model), image, ('scores',))
    return _maps(model, image)


def _maps(model: nn.Module, image: dict[str, Entry]) -> Network:
    module = Maps(model)
    with torch.no_grad():
        probe = image['image'].draw({BATCH: 1, HEIGHT: 64, WIDTH: 64})
        count = len(module(probe))
    note = ''
    if hasattr(model, 'roi_head'):
        note = (
            f'only backbone and neck of this {type(model).__name__} are exported: its '
            'heads choose regions, whose number depends on the picture'
        )
    names = tuple(f'map{i}' for i in range(count))
    return Network('features', module, image, names, note=note)


def _dense_detector(model: nn.Module, image: dict[str, Entry]) -> Network:
    with torch.no_grad():
        probe = image['image'].draw({BATCH: 1, HEIGHT: 64, WIDTH: 64})
        kinds = model(probe, mode='tensor')
    known = ('cls_score', 'bbox_pred', 'centerness')
    named = zip(known, kinds, strict=False)  # only some heads judge centres
    names = tuple(f'{name}{i}' for name, kind in named for i in range(len(kind)))
    note = (
        'the outputs are raw: decoding of boxes and suppression of doubles are left to '
        'what runs the file'
    )
    return Network('detection', DenseDetector(model), image, names, note=note)


def _forecaster(model: Forecaster) -> Network:
    inputs = {'past': Entry((BATCH, model.look_back, model.variates))}
    layers = dict(known='future_tokens', static='static_token')
    parts = {name: getattr(model, layer, None) for name, layer in layers.items()}
    for name, part in parts.items():
        if part is not None:
            inputs[name] = Entry((BATCH, model.variates, *part.shape))
    read = {name: part is not None for name, part in parts.items()}
    return Network('forecasting', Forecast(model, **read), inputs, ('forecast',))


def _replace_pools(model: nn.Module) -> None:
    # The exporter pools adaptively to 1 x 1 only where sizes are open.
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (
                1,
                (1, 1),
            ):
                setattr(module, name, GridPool(child.output_size))
