"""What a ViM2 selects: the step sizes of its scans and the weights of its averages.

Axis letters: b batch, g scans, h w map, l = h w tokens, e features inside a mixer,
r rank of delta.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmmambamixer.models.backbones import ViM2
from mmmambamixer.models.layers import (
    MLP,
    S6,
    GridS6,
    SelectiveChannelMixer,
    SelectiveTokenMixer,
    Stage,
)
from mmmambamixer.models.layers.s6 import pool_tokens, resize_tokens
from mmmambamixer.ops import Route

KINDS = {SelectiveTokenMixer: 'token', SelectiveChannelMixer: 'channel', MLP: 'MLP'}


@dataclass(frozen=True)
class Selection:
    """The step sizes of one mixer on one batch.

    A large delta writes the input at that position into the state and forgets what was
    there (`h = exp(delta A) h + delta B u`, A < 0); a small one passes over it.

    Args:
        stage: Index of the stage, from 0.
        kind: 'token' or 'channel'.
        number: Which of the stage's mixers of that kind, from 1.
        routes: Route of each scan.
        delta: Mean over the independent axis: of a token mixer over its features,
            `(b, g, h, w)` in image coordinates; of a channel mixer over the tokens,
            `(b, g, e)` in the order of the features, whatever the route.
    """

    stage: int
    kind: str
    number: int
    routes: tuple[Route, ...]
    delta: Tensor


@contextmanager
def evaluating(backbone: nn.Module) -> Iterator[None]:
    """Put a network in eval mode (no drop path) and set its mode again at the end."""
    training = backbone.training
    backbone.eval()
    try:
        yield
    finally:
        backbone.train(training)


@torch.no_grad()
def record_selections(backbone: ViM2, image: Tensor) -> list[Selection]:
    """Run a batch of images and return the step sizes of all selective mixers.

    Args:
        backbone: Left as it was: hooks are removed, the mode is set again.
        image: Normalised as in training, `(b, in_channels, H, W)`.

    Returns:
        One for each token and channel mixer, in the order of execution.
    """
    with evaluating(backbone), watch_selections(backbone) as found:
        backbone(image)
    return found


@contextmanager
def watch_selections(
    backbone: ViM2, kinds: Collection[str] = ('token', 'channel')
) -> Iterator[list[Selection]]:
    """Give a list that grows by the selection of each mixer that runs.

    Args:
        backbone: Its hooks are removed at the end.
        kinds: Of the mixers that are watched.
    """
    found, handles = [], []

    def watch(stage: int, kind: str, number: int, s6: S6) -> None:
        def hook(module: S6, args: tuple[Tensor], sizes: dict[str, int]) -> None:
            delta = step_sizes(module, *args, **sizes)
            if kind == 'token':
                delta = delta.mean(-1).unflatten(-1, (sizes['height'], sizes['width']))
            else:
                delta = delta.mean(-1)
            found.append(Selection(stage, kind, number, module.routes, delta))

        handles.append(s6.register_forward_pre_hook(hook, with_kwargs=True))

    for i, stage in enumerate(backbone.stages):
        names = mixer_names(stage)
        for (kind, number), unit in zip(names, stage.mixers, strict=True):
            if kind in kinds:
                watch(i, kind, number, unit.mixer.s6)
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def step_sizes(s6: S6, u: Tensor, *, height: int, width: int) -> Tensor:
    """Return `softplus(dt_weight dt + dt_bias)`: what the scans of an S6 step with.

    The arguments are those of `s6`. `(b, g, positions, features)`: the positions are
    those of the scanned axis in the order of the input, not of the route, because
    `cross_selective_scan` takes dt in map order. For `GridS6` the positions are the
    features of the map and its features are the tokens.
    """
    if isinstance(s6, GridS6):
        p = s6.grid_size
        dt, _, _ = s6.select(pool_tokens(u, height, width, p))
        grid = torch.cat([s6.dt_weight, s6.dt_bias[..., None]], -1)
        grid = resize_tokens(grid, p, height, width)  # (g, l, r + 1)
        weight, bias = grid[..., :-1], grid[..., -1]
    else:
        dt, _, _ = s6.select(u)
        weight, bias = s6.dt_weight, s6.dt_bias
    return F.softplus(torch.einsum('bglr,gdr->bgld', dt, weight) + bias[:, None])


def mixer_names(stage: Stage) -> list[tuple[str, int]]:
    """Return for each mixer its kind and which of that kind it is, from 1.

    The kinds are 'token', 'channel' and 'MLP'.
    """
    # not by type(): while torch traces a module, its class is one below its own
    kinds = [
        next(kind for mixer, kind in KINDS.items() if isinstance(unit.mixer, mixer))
        for unit in stage.mixers
    ]
    return [(kind, kinds[: j + 1].count(kind)) for j, kind in enumerate(kinds)]


def averaging_matrix(stage: Stage) -> Tensor | None:
    """Return the averaging weights of a stage as a matrix, None without averaging.

    `(m, m)` for m mixers: row j is what mixer j reads, column 0 the input of the stage,
    column i > 0 the output of mixer i - 1. NaN where there is no weight.
    """
    if stage.averages is None:
        return None
    m = len(stage.mixers)
    matrix = torch.full((m, m), torch.nan)
    for j, average in enumerate(stage.averages):
        weights = average.weights.detach().float().cpu()
        matrix[j, j + 1 - len(weights) : j + 1] = weights
    return matrix
