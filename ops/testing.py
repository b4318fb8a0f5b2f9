"""How the ops are checked: error against fp64 on the same inputs, and such inputs.

Shared by tests, benchmarks and `python -m mmmambamixer.env --check`.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from .backend import NAMESPACE

Inputs = Mapping[str, Tensor | None]

TOLERANCE = {torch.float64: (1e-13, 1e-12), torch.float32: (5e-7, 5e-6)}
"""Relative RMS error of (results, gradients). 16-bit ones: see `limit`."""


class Evaluation(NamedTuple):
    """Results and gradients of one call, by name."""

    results: dict[str, Tensor]
    gradients: dict[str, Tensor]
    dys: list[Tensor]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the RMS of the error over the RMS of `expected`.

    Where `expected` is 0 there is no scale: then it is the sum of the errors.
    """
    actual, expected = actual.detach().double(), expected.detach().double()
    scale = expected.norm().item()
    if scale == 0:
        return (actual - expected).abs().sum().item()
    return (actual - expected).norm().item() / scale


def assert_close(name: str, actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Raise AssertionError unless shapes agree and `relative_error` <= `tolerance`."""
    if actual.shape != expected.shape:
        raise AssertionError(
            f'{name} must have shape {tuple(expected.shape)}, got {tuple(actual.shape)}'
        )
    error = relative_error(actual, expected)
    if not error <= tolerance:  # NaN fails too
        raise AssertionError(f'{name}: relative error {error:.1e} > {tolerance:.1e}')


def limit(actual: Tensor, expected: Tensor, kind: int) -> float:
    """Return the tolerated error of a result (`kind` 0) or a gradient (1).

    16-bit tensors may err by twice what rounding the truth to 16 bit costs, which is
    little by luck at times, where numbers are few.
    """
    if actual.dtype in TOLERANCE:
        return TOLERANCE[actual.dtype][kind]
    rounding = relative_error(expected.to(actual.dtype), expected)
    rounding = max(rounding, torch.finfo(actual.dtype).eps / 8)
    return 2 * rounding + TOLERANCE[torch.float32][kind]


def evaluate(
    function: Callable,
    inputs: Inputs,
    dys: Sequence[Tensor] | None = None,
    *,
    wanted: Sequence[str] | None = None,
    **options,
) -> Evaluation:
    """Call `function` and differentiate it with respect to the inputs.

    Args:
        function: Returns a tensor or a tuple of tensors; the first is named `y`, the
            second `last_state`.
        inputs: Tensors by name.
        dys: Gradients of the results; random if None.
        wanted: Inputs to differentiate by; all that are given if None.
        options: The other arguments.
    """
    given = [k for k, x in inputs.items() if x is not None]
    wanted = given if wanted is None else wanted
    leaves = {
        k: None if x is None else x.detach().requires_grad_(k in wanted)
        for k, x in inputs.items()
    }
    results = function(**leaves, **options)
    results = results if isinstance(results, tuple) else (results,)
    if dys is None:
        dys = [torch.randn(y.shape).to(y) for y in results]
    pairs = [(y, dy) for y, dy in zip(results, dys, strict=True) if y.requires_grad]
    if pairs:
        gradients = torch.autograd.grad(
            [y for y, _ in pairs],
            [leaves[k] for k in wanted],
            [dy for _, dy in pairs],
            materialize_grads=True,
        )
    else:  # nothing is wanted, or the reference over no steps depends on nothing
        gradients = [torch.zeros_like(leaves[k]) for k in wanted]
    return Evaluation(
        dict(zip(('y', 'last_state'), results, strict=False)),
        {f'd{k}': x for k, x in zip(wanted, gradients, strict=True)},
        list(dys),
    )


def exactly(
    reference: Callable, inputs: Inputs, dys: Sequence[Tensor], **options
) -> Evaluation:
    """Evaluate `reference` in fp64 on the same, already rounded, inputs."""
    inputs = {k: None if x is None else x.detach().double() for k, x in inputs.items()}
    return evaluate(reference, inputs, [dy.double() for dy in dys], **options)


def sampled(
    reference: Callable,
    inputs: Inputs,
    dys: Sequence[Tensor],
    samples: int,
    **options,
) -> list[Evaluation]:
    """Evaluate `reference` in its precision, as is and on inputs moved by roundings.

    The gradients of the results are moved too: they are inputs of the backward.
    """
    own = [evaluate(reference, inputs, dys, **options)]
    while len(own) < samples:
        moved = {k: None if x is None else _moved(x) for k, x in inputs.items()}
        work = reference(**moved, **options)
        work = work if isinstance(work, tuple) else (work,)
        moved_dys = [_moved(dy.to(y.dtype)) for dy, y in zip(dys, work, strict=True)]
        own.append(evaluate(reference, moved, moved_dys, **options))
    return own


def _moved(x: Tensor) -> Tensor:
    """Return `x` in fp32, or fp64, moved at random by up to four roundings."""
    x = x.detach() if x.dtype == torch.float64 else x.detach().float()
    roundings = torch.randint(-4, 5, x.shape).to(x.dtype)
    return x * (1 + torch.finfo(x.dtype).eps * roundings)


def check(
    function: Callable,
    reference: Callable,
    inputs: Inputs,
    dys: Sequence[Tensor] | None = None,
    *,
    samples: int = 1,
    slack: float = 1.0,
    **options,
) -> Evaluation:
    """Compare results and all gradients of `function` with `reference` in fp64.

    Where sums cancel, the error may also be twice that of the reference in the
    precision of `function`. One sample of that can be lucky: more are made on inputs
    that are moved by a few roundings, and the greatest error counts. All tolerances
    are multiplied by `slack`.

    Raises:
        AssertionError: Names the first tensor that differs, with its error.
    """
    actual = evaluate(function, inputs, dys, **options)
    exact = exactly(reference, inputs, actual.dys, **options)
    own = []
    for kind, part in enumerate(('results', 'gradients')):
        for name, expected in getattr(exact, part).items():
            value = getattr(actual, part)[name]
            tolerance = slack * limit(value, expected, kind)
            if not relative_error(value, expected) <= tolerance:
                own = own or sampled(reference, inputs, actual.dys, samples, **options)
                errors = (
                    relative_error(
                        getattr(sample, part)[name].to(value.dtype), expected
                    )
                    for sample in own
                )
                tolerance = max(tolerance, 2 * slack * max(errors))
            assert_close(name, value, expected, tolerance)
    return actual


@contextmanager
def on_cpu(functions: Mapping[str, Callable]) -> Iterator[None]:
    """Let other functions run ops, by name, for CPU tensors."""
    library = torch.library.Library(NAMESPACE, 'IMPL')
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Warning only once for all operators')
            for name, function in functions.items():
                library.impl(name, function, 'CPU', allow_override=True)
        yield
    finally:
        library._destroy()


def scan_inputs(
    b: int,
    d: int,
    l: int,
    n: int,
    g: int = 1,
    *,
    D: bool = True,
    z: bool = False,
    bias: bool = True,
    softplus: bool = True,
    B: str = 'bgnl',
    C: str = 'bgnl',
    dtypes: Sequence[torch.dtype] = (torch.float32,) * 3,
) -> dict[str, Tensor | None]:
    """Return random inputs of `selective_scan`, by name.

    Args:
        b: Batch.
        d: Channels.
        l: Length.
        n: States.
        g: Groups of B and C where they have a group axis.
        D: Give skip weights.
        z: Give a gate.
        bias: Give a bias of the step sizes.
        softplus: The step sizes will go through softplus; else they are positive.
        B: Axes of B: `dn`, `bnl` or `bgnl`.
        C: Axes of C.
        dtypes: Of u and z, of delta, of B and C.
    """
    first, second, third = dtypes
    work = torch.float64 if first == torch.float64 else torch.float32
    sizes = dict(b=b, d=d, l=l, n=n, g=g)
    step = torch.randn(b, d, l) if softplus else 0.5 * torch.rand(b, d, l)
    return dict(
        u=torch.randn(b, d, l).to(first),
        delta=step.to(second),
        A=-torch.exp(torch.randn(d, n)).to(work),
        B=torch.randn([sizes[axis] for axis in B]).to(third),
        C=torch.randn([sizes[axis] for axis in C]).to(third),
        D=torch.randn(d).to(work) if D else None,
        z=torch.randn(b, d, l).to(first) if z else None,
        delta_bias=(0.5 * torch.rand(d) - float(softplus)).to(work) if bias else None,
    )


def cross_inputs(
    b: int,
    g: int,
    l: int,
    d: int,
    n: int = 3,
    r: int = 2,
    *,
    shared: bool = True,
    D: bool = True,
    bias: bool = True,
    dtypes: Sequence[torch.dtype] = (torch.float32,) * 3,
) -> dict[str, Tensor | None]:
    """Return random inputs of `cross_selective_scan`, by name.

    Args:
        b: Batch.
        g: Scans.
        l: Positions.
        d: Channels.
        n: States.
        r: Rank of the step sizes.
        shared: All scans read the same u.
        D: Give skip weights.
        bias: Give a bias of the step sizes.
        dtypes: Of u, of dt, of B and C.
    """
    first, second, third = dtypes
    work = torch.float64 if first == torch.float64 else torch.float32
    return dict(
        u=torch.randn((b, l, d) if shared else (b, g, l, d)).to(first),
        dt=torch.randn(b, g, l, r).to(second),
        dt_weight=(torch.randn(g, d, r) / r**0.5).to(work),
        A=-torch.exp(torch.randn(g, d, n)).to(work),
        B=torch.randn(b, g, l, n).to(third),
        C=torch.randn(b, g, l, n).to(third),
        D=torch.randn(g, d).to(work) if D else None,
        dt_bias=(0.5 * torch.rand(g, d) - 1).to(work) if bias else None,
    )
