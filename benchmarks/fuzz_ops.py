"""Compare the ops with the fp64 reference on random cases.

    python benchmarks/fuzz_ops.py 2000 --seed 0

Random shapes, groups, routes, dtypes, strides and optional parts; results and every
gradient are compared (`mmmambamixer.ops.testing.check`). Prints each mismatch with its
case and exits with 1 if there is one. Runs on the CPU kernels that MMMAMBAMIXER_CPU
names, or the best.
"""

import argparse
import random
import time

import torch

from mmmambamixer.ops import (
    Route,
    available_backends,
    cross_selective_scan,
    cross_selective_scan_reference,
    selective_scan,
    selective_scan_reference,
    weighted_sum,
    weighted_sum_reference,
)
from mmmambamixer.ops.testing import check, cross_inputs, scan_inputs

LENGTHS = [0, 1, 2, 3, 7, 31, 32, 33, 49, 63, 64, 65, 96, 97, 130]
CHANNELS = [1, 3, 4, 12, 15, 16, 17, 31, 32, 33, 64, 65, 96]
STATES = [1, 2, 3, 4, 5, 7, 8, 16, 17, 24]
DTYPES = [torch.float32, torch.float32, torch.bfloat16, torch.float16]


def relayout(x: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Return `x`, or part of it repeated, in a random layout."""
    kind = rng.choice(['as is', 'as is', 'permuted', 'sliced', 'narrowed', 'expanded'])
    if kind == 'permuted':
        order = rng.sample(range(x.dim()), x.dim())
        back = sorted(range(x.dim()), key=order.__getitem__)
        return x.permute(order).contiguous().permute(back)
    if kind == 'sliced':
        return torch.stack([x, -x], -1)[..., 0]
    if kind == 'narrowed':
        axis = rng.randrange(x.dim())
        return torch.cat([x, x], axis).narrow(axis, x.shape[axis], x.shape[axis])
    if kind == 'expanded':
        axis = rng.randrange(x.dim())
        return x.narrow(axis, 0, min(1, x.shape[axis])).expand(x.shape)
    return x


def random_dtypes(rng: random.Random) -> list[torch.dtype]:
    """Return the dtypes of three inputs: all fp64, or any mix of the others."""
    if rng.random() < 0.2:
        return [torch.float64] * 3
    return rng.choices(DTYPES, k=3)


def scan_case(rng: random.Random) -> tuple:
    """Return a random case of `selective_scan`: what to call, and with what."""
    d, flag = rng.choice(CHANNELS), lambda: rng.random() < 0.5
    case = dict(b=rng.randrange(4), d=d, l=rng.choice(LENGTHS), n=rng.choice(STATES))
    case |= dict(g=rng.choice([g for g in (1, 2, 3, 4) if d % g == 0]))
    case |= dict(D=flag(), z=flag(), bias=flag(), softplus=flag())
    case |= dict(B=rng.choice(['dn', 'bnl', 'bgnl']), C=rng.choice(['bnl', 'bgnl']))
    case |= dict(dtypes=random_dtypes(rng))
    options = dict(delta_softplus=case['softplus'], return_last_state=flag())
    inputs = scan_inputs(**case)
    return selective_scan, selective_scan_reference, inputs, options, case


def cross_case(rng: random.Random) -> tuple:
    """Return a random case of `cross_selective_scan`."""
    flag = lambda: rng.random() < 0.5  # noqa: E731
    height, width = rng.choice([0, 1, 2, 5, 7, 9]), rng.choice([1, 3, 8, 11, 14])
    routes = rng.choices(list(Route), k=rng.randint(1, 4))
    case = dict(b=rng.randrange(4), g=len(routes), l=height * width)
    case |= dict(d=rng.choice(CHANNELS), n=rng.choice(STATES), r=rng.randint(1, 9))
    case |= dict(shared=flag(), D=flag(), bias=flag(), dtypes=random_dtypes(rng))
    options = dict(routes=routes, height=height, width=width)
    inputs = cross_inputs(**case)
    return (
        *(cross_selective_scan, cross_selective_scan_reference, inputs, options),
        case | options,
    )


def sum_case(rng: random.Random) -> tuple:
    """Return a random case of `weighted_sum`."""
    shape = [rng.choice([0, 1, 2, 5, 17, 130]) for _ in range(rng.randint(1, 3))]
    count, dtype = rng.randint(1, 9), random_dtypes(rng)[0]
    work = torch.float64 if dtype == torch.float64 else torch.float32
    inputs = dict(weights=torch.randn(count, dtype=work))
    inputs |= {f'x{i}': torch.randn(shape).to(dtype) for i in range(count)}

    def call(function):
        return lambda weights, **tensors: function(list(tensors.values()), weights)

    case = dict(shape=shape, count=count, dtype=dtype)
    return call(weighted_sum), call(weighted_sum_reference), inputs, {}, case


def run(number: int, seed: int) -> str | None:
    """Run case `number`; return what is wrong with it, or None."""
    rng = random.Random(f'{seed}-{number}')
    torch.manual_seed(rng.randrange(1 << 31))
    make = rng.choices([scan_case, cross_case, sum_case], weights=[5, 4, 1])[0]
    function, reference, inputs, options, case = make(rng)
    inputs = {
        name: x if x is None or not x.dim() else relayout(x, rng)
        for name, x in inputs.items()
    }
    try:
        actual = check(function, reference, inputs, **options)
        dys = [relayout(dy, rng) if dy.dim() else dy for dy in actual.dys]
        check(function, reference, inputs, dys, **options)
    except Exception as error:  # whatever goes wrong is a finding
        return f'{make.__name__} {number}: {type(error).__name__}: {error}\n  {case}'
    return None


def main() -> None:
    """Run the cases and count the mismatches."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('cases', type=int, help='how many random cases')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True, warn_only=True)  # NaN in fresh memory
    print(f'CPU: {available_backends()["cpu"]}')
    start, mismatches = time.time(), 0
    for number in range(args.cases):
        finding = run(number, args.seed)
        if finding:
            mismatches += 1
            print(finding, flush=True)
        if (number + 1) % 200 == 0:
            left = (time.time() - start) / (number + 1) * (args.cases - number - 1)
            print(f'{number + 1}/{args.cases}, {left:.0f} s left', flush=True)
    print(f'{args.cases} cases, {mismatches} mismatches (seed {args.seed})')
    raise SystemExit(mismatches > 0)


if __name__ == '__main__':
    main()
