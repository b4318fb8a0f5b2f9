"""What stands before a network, and behind it, when a file takes raw data.

Axis letters: b batch, h w size of an image, t look-back, m variates.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..engine.config import type_name
from ..messages import few
from .resample import resample

IGNORED = ('LoadImageFromFile', 'LoadAnnotations', 'PackInputs')
"""Steps of a test pipeline that change no pixel."""
MODES = ('bilinear', 'bicubic')


@dataclass(frozen=True)
class Resize:
    """How pictures are brought to one size.

    Args:
        size: Height and width after it.
        crop: Keep a central square of (numerator, denominator) of the shorter edge;
            None keeps all of the picture.
        mode: 'bilinear' or 'bicubic'.
        antialias: Whether the filter grows as the picture shrinks: Pillow's does,
            OpenCV's does not.
    """

    size: tuple[int, int]
    crop: tuple[int, int] | None
    mode: str
    antialias: bool


class Pictures(nn.Module):
    """Pictures, RGB uint8 `(b, h, w, 3)` -> what the network reads, `(b, 3, h, w)`.

    Args:
        mean: Of each channel, in the network's order.
        std: Likewise.
        reads_rgb: Whether that order is RGB; else BGR.
        resize: None leaves the size.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        reads_rgb: bool,
        resize: Resize | None,
    ) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1))
        self.reads_rgb, self.resize = reads_rgb, resize

    def forward(self, picture: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2).float()
        if not self.reads_rgb:
            x = x.flip(1)
        if self.resize is not None:
            x = self.resized(x, self.resize)
        return (x - self.mean) / self.std

    def resized(self, x: Tensor, resize: Resize) -> Tensor:
        h, w = x.shape[2:]
        if resize.crop is not None:
            kept, edge = resize.crop
            side = torch.sym_min(h, w) * kept // edge
            top, left = (h - side) // 2, (w - side) // 2
            x = x[:, :, top : top + side, left : left + side]
        x = resample(x, resize.size, mode=resize.mode, antialias=resize.antialias)
        # Not rounded to 8 bits: where two values tie, runtimes round differently.
        return x.clamp(0, 255)


class Prepared(nn.Module):
    """A network behind its preprocessing."""

    def __init__(self, prepare: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.prepare, self.network = prepare, network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.network(self.prepare(x))


class Units(nn.Module):
    """A forecaster of scaled series that takes and gives the units of the table.

    Args:
        network: From scaled look-back, `(b, t, m)`, to a tuple with the forecast.
        mean: Of each variate.
        std: Likewise.
        targets: Indices of the variates that are forecast.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        targets: Sequence[int],
    ) -> None:
        super().__init__()
        self.network = network
        for name, values in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
        self.targets = list(targets)

    def forward(self, past: Tensor, *covariates: Tensor) -> tuple[Tensor]:
        (forecast,) = self.network((past - self.mean) / self.std, *covariates)
        return (forecast * self.std[self.targets] + self.mean[self.targets],)


class Half(nn.Module):
    """A copy of a network in fp16 that takes and gives fp32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(network).half()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(*(x.half() for x in inputs))
        return tuple(y.float() if y.is_floating_point() else y for y in outputs)


def resize_of(pipeline: Sequence[Mapping]) -> Resize:
    """Return how a classifier's test pipeline brings pictures to one size.

    Raises:
        ValueError: If it has a step that cannot be written into a file.
    """
    steps = [step for step in pipeline if type_name(step) not in IGNORED]
    kinds = [type_name(step) for step in steps]
    first = steps[0] if steps else {}
    mode = first.get('interpolation', 'bilinear')
    common = dict(mode=mode, antialias=first.get('backend', 'cv2') == 'pillow')
    if mode in MODES and kinds == ['Resize'] and not first.get('keep_ratio'):
        return Resize(pair(first['scale'])[::-1], None, **common)
    if mode in MODES and kinds == ['ResizeEdge', 'CenterCrop']:
        size = pair(steps[1]['crop_size'])
        if first.get('edge', 'short') == 'short' and size[0] == size[1]:
            return Resize(size, (size[0], first['scale']), **common)
    raise ValueError(
        '--with-preprocessing supports a test pipeline of Resize, or of ResizeEdge '
        f'(edge short) and a square CenterCrop, {" or ".join(MODES)}; this one has '
        f'{few(kinds) or "none of them"} ({mode}): leave the option out and prepare '
        'the pictures outside'
    )


def input_size(pipeline: Sequence[Mapping]) -> tuple[int, int] | None:
    """Return height and width that a test pipeline ends with, if it says so."""
    for step in reversed(pipeline):
        if type_name(step) == 'CenterCrop':
            return pair(step['crop_size'])
        if (
            type_name(step) == 'Resize'
            and not step.get('keep_ratio')
            and 'scale' in step
        ):
            return pair(step['scale'])[::-1]
    return None


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
