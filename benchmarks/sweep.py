"""Measure providers over shapes and modes; print and write a row for each.

A row has `shape`, `l`, `d`, `mode` and `provider`; its errors and whether it is
`wrong`, or why it has no time (`failed`, `skipped`); and, where it is right, its times.
"""

import argparse
import gc
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from report import environment, write
from scan_cases import MODES, STATES, Shape, limits, shape_of
from scan_providers import OURS
from timing import gpu, load, ratio, summary

RESULTS = Path(__file__).parent / 'results'
QUICK = [Shape('quick 1', 49, 8), Shape('quick 2', 12, 49)]

Measure = Callable[[Shape, str], Iterable[dict]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every sweep."""
    parser.add_argument('--shapes', nargs='+', type=shape_of, help='names or LxD')
    parser.add_argument('--modes', nargs='+', choices=MODES, default=MODES)
    parser.add_argument('--batch', type=int, help='1 on CPU, 128 on GPU')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--budget', type=float, default=2, help='seconds')
    parser.add_argument('--quick', action='store_true', help='tiny shapes, 3 rounds')
    parser.add_argument('--out', type=Path, help='default: in results/')


def set_defaults(
    args: argparse.Namespace, name: str, shapes: list[Shape], quick: list[Shape]
) -> None:
    """Set what is not given; the results go to `name`_cpu.json or `name`_gpu.json."""
    args.batch = args.batch or dict(cpu=1, cuda=128)[args.device]
    args.shapes = args.shapes or (quick if args.quick else shapes)
    if args.quick:
        args.rounds = 3
    end = dict(cpu='cpu', cuda='gpu')[args.device]
    args.out = args.out or RESULTS / f'{name}_{end}.json'


def sweep(
    command: str, args: argparse.Namespace, absent: Mapping[str, str], measure: Measure
) -> int:
    """Measure every shape in every mode, print and write; return the exit status.

    Args:
        command: The whole command line.
        args: With the options of `add_arguments`.
        absent: Why a provider is not measured, by its name.
        measure: Returns the rows of a shape and a mode.

    Returns:
        1 if a result was wrong, else 0.
    """
    torch.set_num_threads(args.threads)
    for name, reason in absent.items():
        print(f'absent: {name}: {reason}')
    report = dict(
        command=command,
        **environment(),
        load_before=load(),
        device=device_of(args),
        dtype=args.dtype,
        batch=args.batch,
        states=STATES,
        wrong_above=limits(getattr(torch, args.dtype)),
        absent=absent,
    )
    rows = []
    for shape in args.shapes:
        for mode in args.modes:
            torch.compiler.reset()
            for row in measure(shape, mode):
                print(describe(row), flush=True)
                rows.append(row)
            free()
    means = geometric_means(rows)
    for mode, names in means.items():
        for name, mean in names.items():
            text = f'{mean["ratio"]:.2f} x, geometric mean of {mean["shapes"]} shapes'
            print(f'{mode:<17}{name:<34}{text}')
    report |= dict(load_after=load(), device_after=device_of(args))
    report |= dict(geometric_means=means, rows=rows)
    write(args.out, report)
    print(f'wrote {args.out}')
    return int(any(row.get('wrong') for row in rows))


def add_times(rows: Iterable[dict], timed: Mapping[str, Mapping]) -> None:
    """Give rows the times of their provider, and the ratio to ours."""
    for row in rows:
        if row['provider'] in timed:
            row |= summary(timed[row['provider']])
            if OURS in timed:
                row['ratio'] = ratio(timed[row['provider']], timed[OURS])


def describe(row: Mapping) -> str:
    """Return a line for a row."""
    head = f'{row["shape"]:<10} {row["mode"]:<17}{row["provider"]:<34}'
    for reason in ('failed', 'skipped'):
        if reason in row:
            return f'{head} {reason}: {row[reason]}'
    errors = ', '.join(
        '-' if e is None else f'{e:.0e}' for e in row.get('errors', {}).values()
    )
    if row.get('wrong'):
        return f'{head} wrong: error {errors}'
    low, high = row['quartiles']
    times = f'{1e3 * row["seconds"]:9.3f} ms ({1e3 * low:.3f} .. {1e3 * high:.3f})'
    ratio = f'{row["ratio"]:8.2f} x' if 'ratio' in row else ''
    return f'{head}{times}, {row["rounds"]:2} rounds{ratio}  error {errors or "-"}'


def geometric_means(rows: Iterable[Mapping]) -> dict[str, dict]:
    """Return for each mode and provider the mean ratio and over how many shapes."""
    logs = defaultdict(list)
    for row in rows:
        if 'ratio' in row:
            logs[row['mode'], row['provider']].append(math.log(row['ratio']))
    means = defaultdict(dict)
    for (mode, name), values in logs.items():
        mean = math.exp(sum(values) / len(values))
        means[mode][name] = dict(ratio=short(mean), shapes=len(values))
    return dict(means)


def short(x: float) -> float | None:
    """Return a number with three digits, None for one that JSON cannot hold."""
    return float(f'{x:.3g}') if math.isfinite(x) else None


def device_of(args: argparse.Namespace) -> dict | str:
    return gpu() if args.device == 'cuda' else 'cpu'


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
