"""Random calls of the ops. A case is plain data: it can be printed, changed, pasted.

Every case has `op`, `seed` (of its values), `layouts` (of its inputs and of the
gradients of its results, `dy0` and `dy1`; plain if not named), `wanted` (the inputs
whose gradients are asked for) and `threads` (of the second run). The rest are sizes,
dtypes and parts of the op.
"""

import random
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from fuzz_layouts import LAYOUTS, lay_out
from torch import Tensor

from mmmambamixer import ops
from mmmambamixer.ops.testing import cross_inputs, scan_inputs

Case = dict[str, Any]

LENGTHS = [0, 1, 2, 3, 7, 1, 2, 5, 31, 32, 33, 34, 63, 64, 65, 97, 130]
LONG = [255, 256, 257]
CHANNELS = [0, 1, 2, 3, 4, 12, 15, 16, 17, 31, 32, 33, 64, 65, 96]
MANY = [31, 32, 33, 64, 65]
STATES = [1, 2, 3, 4, 5, 7, 8, 16, 17, 24, 31, 32, 33]
NARROW = ['float32', 'float32', 'bfloat16', 'float16']
MOST = 30_000
"""States of a scan over all steps: the reference is a loop in Python. It also keeps the
gate below 32,768 elements, where PyTorch's SiLU starts to depend on the threads."""
VALUES = ['normal'] * 7 + ['zeros', 'ones', 'wide']


class Call(NamedTuple):
    """What to run: the op and its reference take `inputs` by name."""

    op: Callable
    reference: Callable
    inputs: dict[str, Tensor | None]


def dtypes_of(rng: random.Random, count: int) -> list[str]:
    """Return dtypes of inputs: the first may be fp64, then the others may be too."""
    if rng.random() < 0.2:
        return ['float64', *rng.choices([*NARROW, *['float64'] * 8], k=count - 1)]
    return rng.choices(NARROW, k=count)


def scan_case(rng: random.Random) -> Case:
    """Return a case of `selective_scan`; `d` is g times `c`."""
    flag = lambda: rng.random() < 0.5  # noqa: E731
    many = rng.random() < 0.05
    return dict(
        op='selective_scan',
        b=rng.choice(MANY) if many else rng.choice([0, 1, 1, 2, 2, 3]),
        c=rng.choice([1, 3, 16]) if many else rng.choice(CHANNELS),
        g=rng.choice([1, 1, 2, 3]),
        l=rng.choice([1, 5, 33] if many else LONG if rng.random() < 0.03 else LENGTHS),
        n=rng.choice([1, 3, 8] if many else STATES),
        D=flag(),
        z=flag(),
        bias=flag(),
        softplus=flag(),
        B=rng.choice(['dn', 'bnl', 'bgnl']),
        C=rng.choice(['dn', 'bnl', 'bgnl']),
        results=rng.choice([['y'], ['y', 'last_state'], ['last_state']]),
        dtypes=dtypes_of(rng, 5),
        values=rng.choice(VALUES),
    )


def scan_call(case: Case) -> Call:
    """Return the call of a case of `selective_scan`."""
    u, delta, BC, z, parameters = (getattr(torch, name) for name in case['dtypes'])
    sizes = {k: case[k] for k in ('b', 'l', 'n', 'g', 'D', 'z', 'bias', 'B', 'C')}
    inputs = scan_inputs(
        **sizes,
        d=case['c'] * case['g'],
        softplus=case['softplus'],
        dtypes=(u, delta, BC),
    )
    narrow_parameters(inputs, parameters, ('A', 'D', 'delta_bias'))
    if inputs['z'] is not None:
        inputs['z'] = inputs['z'].to(z)
    wanted = case['results']

    def named(function: Callable) -> Callable:
        def call(**given):
            options = dict(delta_softplus=case['softplus'])
            y, h = function(**given, **options, return_last_state=True)
            return tuple(dict(y=y, last_state=h)[name] for name in wanted)

        return call

    reference = rounding_gate(ops.selective_scan_reference, z)
    return Call(named(ops.selective_scan), named(reference), inputs)


def rounding_gate(reference: Callable, dtype: torch.dtype) -> Callable:
    """Return the reference of a gate that had `dtype`, for inputs that are wider now.

    The op rounds SiLU(z) to the dtype of z, so the truth does. Gradients know no
    rounding.
    """

    def rounded(z: Tensor | None = None, **given) -> tuple[Tensor, Tensor]:
        if z is None or z.dtype == dtype:
            return reference(z=z, **given)
        gate = F.silu(z)
        gate = gate + (gate.to(dtype).to(z.dtype) - gate).detach()
        y, h = reference(**given)
        return y * gate, h

    return rounded


def cross_case(rng: random.Random) -> Case:
    """Return a case of `cross_selective_scan`."""
    flag = lambda: rng.random() < 0.5  # noqa: E731
    many = rng.random() < 0.05
    height, width = rng.choice([0, 1, 2, 3, 5, 7, 9]), rng.choice([1, 2, 3, 8, 11, 14])
    if rng.random() < 0.03:
        height, width = rng.choice([(1, 31), (32, 2), (3, 33), (257, 1), (1, 0)])
    return dict(
        op='cross_selective_scan',
        b=rng.choice(MANY) if many else rng.choice([0, 1, 1, 2, 2, 3]),
        d=rng.choice([1, 3, 16]) if many else rng.choice(CHANNELS),
        n=rng.choice([1, 3, 8] if many else STATES),
        r=rng.choice([1, 2, 3, 4, 5, 8, 9, 17]),
        height=2 if many else height,
        width=3 if many else width,
        routes=[int(k) for k in rng.choices(list(ops.Route), k=rng.randint(1, 4))],
        shared=flag(),
        D=flag(),
        bias=flag(),
        dtypes=dtypes_of(rng, 4),
        values=rng.choice(VALUES),
    )


def cross_call(case: Case) -> Call:
    """Return the call of a case of `cross_selective_scan`."""
    *dtypes, parameters = (getattr(torch, name) for name in case['dtypes'])
    sizes = {k: case[k] for k in ('b', 'd', 'n', 'r', 'shared', 'D', 'bias')}
    size = {k: case[k] for k in ('routes', 'height', 'width')}
    inputs = cross_inputs(
        **sizes,
        g=len(case['routes']),
        l=case['height'] * case['width'],
        dtypes=dtypes,
    )
    narrow_parameters(inputs, parameters, ('dt_weight', 'A', 'D', 'dt_bias'))
    return Call(
        lambda **given: ops.cross_selective_scan(**given, **size),
        lambda **given: ops.cross_selective_scan_reference(**given, **size),
        inputs,
    )


def conv_case(rng: random.Random) -> Case:
    """Return a case of `scan_conv`; `each`: a filter for each feature."""
    return dict(
        op='scan_conv',
        b=rng.choice([0, 1, 2, 3, 33]),
        l=rng.choice([0, 1, 2, 3, 7, 31, 33, 65]),
        d=rng.choice([*CHANNELS, 511, 512, 513]),
        t=rng.choice([1, 2, 3, 4, 5, 9]),
        routes=[int(k) for k in rng.choices(list(ops.Route), k=rng.randint(1, 4))],
        dtypes=dtypes_of(rng, 2),
        values=rng.choice(VALUES[:-1]),
        each=rng.random() < 0.5,
        silu=rng.random() < 0.5,
    )


def conv_call(case: Case) -> Call:
    """Return the call of a case of `scan_conv`."""
    dtype, parameters = (getattr(torch, name) for name in case['dtypes'])
    options = dict(routes=[ops.Route(k) for k in case['routes']], silu=case['silu'])
    routes = options['routes']
    features = [case['d']] if case['each'] else []
    inputs = dict(
        v=torch.randn(case['b'], case['l'], case['d']).to(dtype),
        weight=torch.randn(len(routes), case['t'], *features).to(work_dtype(dtype)),
        bias=torch.randn(len(routes), *features).to(work_dtype(dtype)),
    )
    narrow_parameters(inputs, parameters, ('weight', 'bias'))
    return Call(
        lambda **given: ops.scan_conv(**given, **options),
        lambda **given: ops.scan_conv_reference(**given, **options),
        inputs,
    )


def norm_case(rng: random.Random) -> Case:
    """Return a case of `gated_norm`; `turned`: x has steps as neighbours in memory."""
    return dict(
        op='gated_norm',
        b=rng.choice([0, 1, 2, 3, 33]),
        l=rng.choice([0, 1, 2, 15, 16, 17, 65]),
        d=rng.choice([2, *CHANNELS[2:], 511, 512, 513]),
        dtypes=dtypes_of(rng, 2),
        values=rng.choice(VALUES[:-1]),
        turned=rng.random() < 0.5,
    )


def norm_call(case: Case) -> Call:
    """Return the call of a case of `gated_norm`."""
    dtype, parameters = (getattr(torch, name) for name in case['dtypes'])
    size, work = (case['b'], case['l'], case['d']), work_dtype(dtype)
    x = torch.randn(size).to(work)
    inputs = dict(
        x=x.mT.contiguous().mT if case['turned'] else x,
        z=torch.randn(size).to(dtype),
        weight=torch.randn(case['d']).to(work),
        bias=torch.randn(case['d']).to(work),
    )
    narrow_parameters(inputs, parameters, ('weight', 'bias'))
    return Call(ops.gated_norm, ops.gated_norm_reference, inputs)


def sum_case(rng: random.Random) -> Case:
    """Return a case of `weighted_sum`; `tensors` are their dtypes."""
    sizes = [0, 1, 2, 5, 17, 130]
    shape = [rng.choice(sizes) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.1:
        shape = [rng.choice([2047, 2048, 2049, 20000])]
    count = rng.randint(1, 9)
    dtypes = [*NARROW, 'float64']
    alike, mixed = [rng.choice(dtypes)] * count, rng.choices(dtypes, k=count)
    return dict(
        op='weighted_sum',
        shape=shape,
        dtypes=[rng.choice(NARROW)],
        tensors=rng.choice([alike, alike, mixed]),
        values=rng.choice(VALUES[:-1]),
    )


def sum_call(case: Case) -> Call:
    """Return the call of a case of `weighted_sum`."""
    dtypes = [getattr(torch, name) for name in case['tensors']]
    inputs = dict(weights=torch.randn(len(dtypes)))
    narrow_parameters(inputs, getattr(torch, case['dtypes'][0]), ('weights',))
    inputs |= {f'x{i}': torch.randn(case['shape']).to(t) for i, t in enumerate(dtypes)}

    def reference(weights, **tensors):
        widest = reduce(torch.promote_types, (x.dtype for x in tensors.values()))
        promoted = [x.to(widest) for x in tensors.values()]
        return ops.weighted_sum_reference(promoted, weights)

    return Call(
        lambda weights, **tensors: ops.weighted_sum(tensors.values(), weights),
        reference,
        inputs,
    )


OPS = {
    'selective_scan': (scan_case, scan_call, 5),
    'cross_selective_scan': (cross_case, cross_call, 4),
    'scan_conv': (conv_case, conv_call, 1),
    'gated_norm': (norm_case, norm_call, 1),
    'weighted_sum': (sum_case, sum_call, 1),
}
"""For each op what draws a case, what makes a call of it, and how often it comes."""


def fits(case: Case) -> bool:
    """Return whether a call is small enough for the reference."""
    return products(case) <= MOST


def draw(
    rng: random.Random,
    ops: Iterable[str] = OPS,
    fits: Callable[[Case], bool] = fits,
) -> Case:
    """Return a random case of one of `ops` that `fits`."""
    ops = list(ops)
    op = rng.choices(ops, [OPS[name][2] for name in ops])[0]
    case = OPS[op][0](rng)
    while not fits(case):
        case = OPS[op][0](rng)
    case |= dict(seed=rng.randrange(1 << 31), threads=rng.choice([1, 1, 1, 2]))
    case |= dict(layouts={}, wanted=[])
    given = [name for name, x in call_of(case).inputs.items() if x is not None]
    for name in (*given, 'dy0', 'dy1'):
        layout = rng.choice(['plain', *LAYOUTS])
        if layout != 'plain':
            case['layouts'][name] = layout
    case['wanted'] = [name for name in given if rng.random() < 0.5]
    return case


def products(case: Case) -> int:
    """Return the size of all states of a scan together, 0 for the other ops."""
    if case['op'] == 'selective_scan':
        return case['b'] * case['c'] * case['g'] * case['l'] * case['n']
    if case['op'] == 'cross_selective_scan':
        steps = case['height'] * case['width'] * len(case['routes'])
        return case['b'] * case['d'] * steps * (case['n'] + case['r'])
    return 0


def call_of(case: Case) -> Call:
    """Return the call that a case describes, always the same."""
    torch.default_generator.manual_seed(case['seed'])  # of the CPU alone: fast
    call = OPS[case['op']][1](case)
    spread(call.inputs, case['values'])
    inputs = {k: x if x is None else placed(case, k, x) for k, x in call.inputs.items()}
    return call._replace(inputs=inputs)


def placed(case: Case, name: str, x: Tensor) -> Tensor:
    """Return `x` in the layout that the case names for it."""
    rng = random.Random(f'{case["seed"]} {name}')
    return lay_out(x, case['layouts'].get(name, 'plain'), rng)


def spread(inputs: dict[str, Tensor | None], values: str) -> None:
    """Change the values: all zeros or ones (of their sign), or decays of any speed."""
    for name, x in inputs.items():
        if x is None or values == 'normal':
            continue
        if values == 'wide':
            if name == 'A':
                wide = -torch.exp(torch.empty(x.shape).uniform_(-10, 6))
                inputs[name] = wide.to(x.dtype)
        else:
            inputs[name] = x.sign() if values == 'ones' else torch.zeros_like(x)


def narrow_parameters(inputs: dict, dtype: torch.dtype, names: tuple[str, ...]) -> None:
    """Give the parameters `dtype` where that is not wider than what they have."""
    for name in names:
        if inputs[name] is not None and dtype.itemsize <= inputs[name].dtype.itemsize:
            inputs[name] = inputs[name].to(dtype)


def work_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return fp64 for fp64, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32
