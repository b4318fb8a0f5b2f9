"""Measure the ops' error against the fp64 reference on CPU.

    python benchmarks/numerics.py            # writes results/ops_numerics_cpu.json

The truth is the reference in fp64 on the same, already rounded, inputs; the error is
the RMS of the difference over the RMS of the truth. Beside it stand the error of the
reference in fp32 and, for 16-bit tensors, what rounding the truth alone costs. The
scans start from Mamba's initialisation: A = -1..-n, step sizes of 1e-3..1e-1.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from report import environment, write
from scan_cases import initial_bias

from mmmambamixer.ops import (
    CROSS,
    cross_selective_scan,
    cross_selective_scan_reference,
    selective_scan,
    selective_scan_reference,
    weighted_sum,
    weighted_sum_reference,
)
from mmmambamixer.ops.testing import (
    cross_inputs,
    evaluate,
    exactly,
    relative_error,
    scan_inputs,
)

OUT = Path(__file__).parent / 'results' / 'ops_numerics_cpu.json'
LIMITS = dict(results=5e-7, gradients=5e-6)
"""What fp32 must reach at l = 3136."""


def scan(l: int, dtype: torch.dtype) -> tuple:
    """Return functions, inputs and options of `selective_scan` over `l` steps."""
    inputs = scan_inputs(2, 32, l, 16, dtypes=[dtype] * 3)
    inputs['A'] = -torch.arange(1.0, 17).repeat(32, 1)
    inputs['delta_bias'] = initial_bias(32)
    options = dict(delta_softplus=True, return_last_state=True)
    return selective_scan, selective_scan_reference, inputs, options


def cross(side: int, dtype: torch.dtype) -> tuple:
    """Return functions, inputs and options of `cross_selective_scan`: a square map."""
    inputs = cross_inputs(1, 4, side * side, 32, 16, 6, dtypes=[dtype] * 3)
    inputs['A'] = -torch.arange(1.0, 17).repeat(4, 32, 1)
    inputs['dt_bias'] = initial_bias(4, 32)
    options = dict(routes=CROSS, height=side, width=side)
    return cross_selective_scan, cross_selective_scan_reference, inputs, options


def weighted(count: int, dtype: torch.dtype) -> tuple:
    """Return functions, inputs and options of `weighted_sum` of `count` maps."""
    inputs = dict(weights=torch.randn(count))
    inputs |= {f'x{i}': torch.randn(2, 96, 56, 56).to(dtype) for i in range(count)}

    def call(function: Callable) -> Callable:
        return lambda weights, **tensors: function(list(tensors.values()), weights)

    return call(weighted_sum), call(weighted_sum_reference), inputs, {}


CASES = [
    *(('selective_scan', scan, l, torch.float32) for l in (49, 784, 3136)),
    *(('cross_selective_scan', cross, side, torch.float32) for side in (7, 28, 56)),
    ('weighted_sum', weighted, 6, torch.float32),
    *(
        (name, make, size, dtype)
        for name, make, size in (
            ('selective_scan', scan, 784),
            ('cross_selective_scan', cross, 28),
            ('weighted_sum', weighted, 6),
        )
        for dtype in (torch.bfloat16, torch.float16)
    ),
]


def measure(name: str, make: Callable, size: int, dtype: torch.dtype) -> dict:
    """Return the errors of one case, by tensor."""
    torch.manual_seed(0)
    function, reference, inputs, options = make(size, dtype)
    actual = evaluate(function, inputs, **options)
    exact = exactly(reference, inputs, actual.dys, **options)
    own = evaluate(reference, inputs, actual.dys, **options)
    unit = {'selective_scan': 'l', 'cross_selective_scan': 'side'}.get(name, 'tensors')
    row = {'op': name, unit: size, 'dtype': str(dtype).removeprefix('torch.')}
    for kind, group in enumerate(('results', 'gradients')):
        row[group] = {}
        for key, expected in exact[kind].items():
            value = actual[kind][key]
            errors = dict(
                error=relative_error(value, expected),
                reference=relative_error(own[kind][key], expected),
            )
            if value.dtype.itemsize == 2:
                rounded = expected.to(value.dtype)
                errors['rounding_alone'] = relative_error(rounded, expected)
            row[group][key] = {k: float(f'{v:.2e}') for k, v in errors.items()}
    return row


def main() -> None:
    """Measure every case, print the worst errors, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=OUT)
    args = parser.parse_args()
    rows, missed = [], 0
    for case in CASES:
        row = measure(*case)
        rows.append(row)
        worst = {
            group: max(row[group].items(), key=lambda item: item[1]['error'])
            for group in LIMITS
        }
        if row['dtype'] == 'float32':
            row['within_limits'] = all(
                worst[group][1]['error'] <= limit for group, limit in LIMITS.items()
            )
            missed += not row['within_limits']
        head = ' '.join(str(x) for x in list(row.values())[:3])
        text = ', '.join(f'{key} {e["error"]:.1e}' for key, e in worst.values())
        print(f'{head:<40} worst: {text}', flush=True)
    report = dict(environment(), limits_fp32=LIMITS, cases=rows)
    write(args.out, report)
    print(f'{args.out}: {missed} fp32 cases over the limits')
    raise SystemExit(missed > 0)


if __name__ == '__main__':
    main()
