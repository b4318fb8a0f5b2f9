"""Tensors in any layout, between NaNs: whatever reads beside them shows."""

import math
import random

import torch
from torch import Tensor

LAYOUTS = ('plain', 'permuted', 'gaps', 'repeated', 'constant')


def lay_out(x: Tensor, layout: str, rng: random.Random) -> Tensor:
    """Return the values of `x` as a view of a longer tensor that is NaN elsewhere.

    Args:
        x: Any floating-point tensor.
        layout: `plain` keeps the order of the axes; `permuted` changes it; `gaps`
            also leaves elements out; `repeated` gives one axis stride 0, and
            `constant` all: they keep the first values along it.
        rng: Decides the order, the gaps, the axis, and how far the values lie from
            an aligned address.
    """
    axes = list(range(x.dim()))
    order = axes if layout == 'plain' else rng.sample(axes, len(axes))
    repeated = {'constant': axes, 'repeated': axes and [rng.choice(axes)]}
    still = [a for a in repeated.get(layout, []) if x.shape[a] > 1]
    for axis in still:
        x = x.narrow(axis, 0, 1).expand_as(x)
    strides, size = [0] * x.dim(), 1
    for axis in reversed(order):
        if axis not in still:
            gap = rng.choice([1, 2, 3]) if layout == 'gaps' else 1
            strides[axis] = size * gap
            size *= x.shape[axis] * gap
    offset = rng.choice([1, 2, 8, 16, 17])
    around = x.new_full((offset + size + 17,), math.nan)
    view = around.as_strided(x.shape, strides, offset)
    # an axis of stride 0 is written once
    once = [slice(0, 1) if axis in still else slice(None) for axis in axes]
    view[tuple(once)] = x[tuple(once)]
    return view


def contents(view: Tensor) -> Tensor:
    """Return a copy of the bits of all that `view`, of `lay_out`, looks into."""
    whole = view if view._base is None else view._base
    return whole.detach().clone().view(torch.uint8)
