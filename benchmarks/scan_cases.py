"""The shapes of ViM2-T's scans, inputs for them, and the error against fp64.

Axis letters: b batch, d channels of all groups, l steps, g groups, n states.
"""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmmambamixer.ops import selective_scan_reference
from mmmambamixer.ops.testing import (
    Evaluation,
    evaluate,
    exactly,
    relative_error,
    scan_inputs,
)

STATES = 16
GROUPS = 4
BATCHED = ('u', 'delta', 'B', 'C')
WITH_BATCH_AXIS = ('y', *(f'd{k}' for k in BATCHED))
MODES = ('forward', 'forward+backward')
KINDS = dict(zip(MODES, (('results',), ('results', 'gradients')), strict=True))
FULL_PRECISION = dict(results=1e-5, gradients=1e-4)
HALF_PRECISION = dict(results=1e-2, gradients=2e-2)
"""Errors above which a result is wrong: relative RMS, against fp64."""


class Shape(NamedTuple):
    """`l` steps of four scans with `d` channels each."""

    name: str
    l: int
    d: int

    def elements(self, batch: int) -> int:
        """Return how often a state is updated: b d l over all groups."""
        return batch * self.l * GROUPS * self.d


SHAPES = {
    shape.name: shape
    for shape in (
        Shape('token 1', 3136, 192),
        Shape('token 2', 784, 384),
        Shape('token 3', 196, 768),
        Shape('token 4', 49, 1536),
        Shape('channel 1', 96, 3136),
        Shape('channel 2', 192, 784),
        Shape('channel 3', 384, 196),
        Shape('channel 4', 768, 49),
    )
}
"""Token and channel mixers of ViM2-T's four stages at 224 x 224."""


def shape_of(text: str) -> Shape:
    """Return a shape by its name, as 'token1', or as 'LxD'."""
    for name, shape in SHAPES.items():
        if text in (name, name.replace(' ', '')):
            return shape
    l, _, d = text.partition('x')
    if not (l.isdigit() and d.isdigit()):
        names = ', '.join(name.replace(' ', '') for name in SHAPES)
        raise ArgumentTypeError(f'a shape must be LxD or one of {names}, got {text!r}')
    return Shape(text, int(l), int(d))


def limits(dtype: torch.dtype) -> dict[str, float]:
    return HALF_PRECISION if dtype.itemsize == 2 else FULL_PRECISION


def initial_bias(*shape: int) -> Tensor:
    """Return biases whose softplus is log-uniform in [1e-3, 1e-1]."""
    step = 10 ** (torch.rand(shape) * 2 - 3)
    return step + torch.log(-torch.expm1(-step))


def make_inputs(
    shape: Shape, batch: int, dtype: torch.dtype, device: str = 'cpu'
) -> dict[str, Tensor]:
    """Return inputs as Mamba starts: A = -1..-n, step sizes of 1e-3..1e-1.

    u, delta `(b, d, l)`, B and C `(b, g, n, l)` are contiguous.
    """
    d = GROUPS * shape.d
    inputs = scan_inputs(batch, d, shape.l, STATES, GROUPS, dtypes=[dtype] * 3)
    inputs['A'] = -torch.arange(1.0, STATES + 1).repeat(d, 1)
    inputs['delta_bias'] = initial_bias(d)
    return {k: x.to(device) for k, x in inputs.items() if x is not None}


def channels_last(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same values with channels, or states, contiguous in memory."""
    return {k: x.mT.contiguous().mT if k in BATCHED else x for k, x in inputs.items()}


def first_item(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: x[:1] if k in BATCHED else x for k, x in tensors.items()}


def truth(inputs: Mapping[str, Tensor]) -> Evaluation:
    """Evaluate the reference in fp64 on the first item of the batch."""
    inputs = first_item(inputs)
    dy = torch.randn_like(inputs['u'])
    return exactly(selective_scan_reference, inputs, [dy], delta_softplus=True)


def error(
    function: Callable, inputs: Mapping[str, Tensor], exact: Evaluation, mode: str
) -> dict[str, float]:
    """Return the greatest error of results and, after a backward, of gradients.

    With a larger batch also the first item of the whole batch is compared, in all
    tensors that have the batch axis.
    """
    worst = dict.fromkeys(KINDS[mode], 0.0)
    batches = [first_item(inputs)]
    if len(inputs['u']) > 1:
        batches.append(inputs)
    for tensors in batches:
        actual = _evaluate(function, tensors, exact, mode)
        for kind in worst:
            for name, value in getattr(actual, kind).items():
                if tensors is inputs and name not in WITH_BATCH_AXIS:
                    continue  # a sum over the batch
                expected = getattr(exact, kind)[name]
                if name in WITH_BATCH_AXIS:
                    value = value[:1]
                found = relative_error(value, expected)
                worst[kind] = max(worst[kind], math.inf if found != found else found)
    return worst


def _evaluate(
    function: Callable, inputs: Mapping[str, Tensor], exact: Evaluation, mode: str
) -> Evaluation:
    if mode == 'forward':
        with torch.no_grad():
            y = function(**inputs, delta_softplus=True)
        return Evaluation(dict(y=y), {}, [])
    dy = torch.randn_like(inputs['u'])
    dy[:1] = exact.dys[0].to(dy)
    return evaluate(function, inputs, [dy], delta_softplus=True)


def make_call(
    function: Callable, inputs: Mapping[str, Tensor], mode: str
) -> Callable[[], object]:
    """Return a call without arguments: what is timed."""
    if mode == 'forward':

        @torch.no_grad()
        def forward() -> Tensor:
            return function(**inputs, delta_softplus=True)

        return forward
    leaves = {k: x.detach().requires_grad_() for k, x in inputs.items()}
    dy = torch.randn_like(inputs['u'])

    def both() -> tuple[Tensor, ...]:
        y = function(**leaves, delta_softplus=True)
        return torch.autograd.grad(y, list(leaves.values()), dy)

    return both
