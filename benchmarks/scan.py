"""Time `selective_scan` beside everything else that can run one.

    python benchmarks/scan.py [--shapes token1 49x1536 ...] [--batch 1] [--threads 2]
        [--dtype float32] [--device cpu] [--rounds 15] [--budget 2] [--compiled]
        [--mamba-ssm .../mamba_ssm/ops/selective_scan_interface.py]
        [--mambapy .../mambapy/pscan.py] [--out results/scan_cpu.json]

Forward without gradients, and forward + backward to all inputs, on the shapes of
ViM2-T. All providers take turns in one process, on the same tensors; each result is
compared with the reference in fp64 first, and a wrong one gets no time. A provider
that is slow, beyond `--budget` seconds for a shape, takes part in fewer rounds, which
the file tells; one whose call would take more than `--longest` seconds is skipped.
Times are the medians over the rounds, with quartiles; ratios are the medians of the
ratios within a round. The exit status is 1 if anything was wrong.
"""

import argparse
import gc
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from report import environment
from scan_cases import (
    BATCHED,
    MODES,
    SHAPES,
    STATES,
    Shape,
    error,
    limits,
    make_call,
    make_inputs,
    shape_of,
    truth,
)
from scan_providers import COMPILED, EXP, OURS, Provider, exp_call, find
from timing import gpu, interleave, load, ratio, summary, timer
from torch import Tensor

RESULTS = Path(__file__).parent / 'results'
FEW_STEPS = 100
"""With fewer no call takes long."""

QUICK = [Shape('quick 1', 49, 8), Shape('quick 2', 12, 49)]


def expected_seconds(
    provider: Provider, inputs: Mapping[str, Tensor], mode: str, seconds: Callable
) -> float:
    """Return what a call may take, from how calls with fewer steps grow.

    Some loops grow with the square of the steps: in their backward each step makes a
    gradient of full size.
    """
    times = []
    l = inputs['u'].shape[2]
    for part in (16, 16, 8):  # the first is the warm-up
        short = {
            k: x[..., : l // part] if k in BATCHED else x for k, x in inputs.items()
        }
        call = make_call(provider.function, provider.prepare(short), mode)
        times.append(seconds(call, 1))
    _, before, last = times
    return last * max(1, last / before) ** 3


def judge(
    providers: Mapping[str, Provider],
    inputs: Mapping[str, Tensor],
    mode: str,
    dtype: torch.dtype,
    longest: float,
) -> dict[str, dict]:
    """Return by provider its errors, whether it is `wrong`, or why it has no time.

    The reason is `failed`, with its message, or `skipped`, for calls that would take
    longer than `longest` seconds.
    """
    exact = truth(inputs)
    seconds = timer(inputs['u'].device.type)
    verdicts = {}
    for name, provider in providers.items():
        try:
            if inputs['u'].shape[2] >= FEW_STEPS and COMPILED not in name:
                expected = expected_seconds(provider, inputs, mode, seconds)
                if expected > longest:
                    verdicts[name] = dict(skipped=f'about {expected:.0f} s a call')
                    continue
            errors = error(provider.function, provider.prepare(inputs), exact, mode)
        except (RuntimeError, NotImplementedError) as reason:
            if name == OURS:
                raise
            verdicts[name] = dict(failed=str(reason).split('\n')[0][:200])
            free()
            continue
        verdicts[name] = dict(
            errors={
                k: _short(e) if math.isfinite(e) else None for k, e in errors.items()
            },
            wrong=any(not e <= limits(dtype)[k] for k, e in errors.items()),
        )
    return verdicts


def measure(
    shape: Shape, mode: str, providers: Mapping[str, Provider], args: argparse.Namespace
) -> list[dict]:
    """Return a row for each provider: a time only where the result is right."""
    torch.manual_seed(0)
    dtype = getattr(torch, args.dtype)
    inputs = make_inputs(shape, args.batch, dtype, args.device)
    verdicts = judge(providers, inputs, mode, dtype, args.longest)
    calls = {
        name: make_call(p.function, p.prepare(inputs), mode)
        for name, p in providers.items()
        if verdicts[name].get('wrong') is False
    }
    if mode == 'forward':
        calls[EXP] = exp_call(inputs)
        verdicts[EXP] = {}
    timed = interleave(calls, timer(args.device), args.rounds, args.budget)
    rows = []
    for name, verdict in verdicts.items():
        row = dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode, provider=name)
        row |= verdict
        if name in timed:
            row |= summary(timed[name])
            if OURS in timed:
                row['ratio'] = ratio(timed[name], timed[OURS])
        rows.append(row)
    return rows


def describe(row: dict) -> str:
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


def geometric_means(rows: list[dict]) -> dict[str, dict]:
    """Return for each mode and provider the mean ratio and over how many shapes."""
    logs = defaultdict(list)
    for row in rows:
        if 'ratio' in row:
            logs[row['mode'], row['provider']].append(math.log(row['ratio']))
    means = defaultdict(dict)
    for (mode, name), values in logs.items():
        mean = math.exp(sum(values) / len(values))
        means[mode][name] = dict(ratio=_short(mean), shapes=len(values))
    return dict(means)


def _short(x: float) -> float:
    return float(f'{x:.3g}')


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
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
    parser.add_argument('--longest', type=float, default=20, help='seconds of a call')
    parser.add_argument('--quick', action='store_true', help='tiny shapes, 3 rounds')
    parser.add_argument('--compiled', action='store_true', help='also torch.compile')
    parser.add_argument('--mamba-ssm', type=Path, help='their interface file')
    parser.add_argument('--mambapy', type=Path, help="mamba.py's pscan.py")
    parser.add_argument('--out', type=Path, help='default: results/scan_DEVICE.json')
    args = parser.parse_args(argv)
    args.batch = args.batch or dict(cpu=1, cuda=128)[args.device]
    args.shapes = args.shapes or (QUICK if args.quick else list(SHAPES.values()))
    if args.quick:
        args.rounds = 3
    name = 'scan_gpu.json' if args.device == 'cuda' else 'scan_cpu.json'
    args.out = args.out or RESULTS / name
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    providers, absent = find(args.device, args.mamba_ssm, args.mambapy, args.compiled)
    for name, reason in absent.items():
        print(f'absent: {name}: {reason}')
    report = dict(
        command=' '.join(['python benchmarks/scan.py', *argv]),
        **environment(),
        load_before=load(),
        device=gpu() if args.device == 'cuda' else 'cpu',
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
            for row in measure(shape, mode, providers, args):
                print(describe(row), flush=True)
                rows.append(row)
            free()
    means = geometric_means(rows)
    for mode, names in means.items():
        for name, mean in names.items():
            text = f'{mean["ratio"]:.2f} x, geometric mean of {mean["shapes"]} shapes'
            print(f'{mode:<17}{name:<34}{text}')
    report |= dict(load_after=load(), geometric_means=means, rows=rows)
    if args.device == 'cuda':
        report['device_after'] = gpu()
    args.out.write_text(json.dumps(report, indent=1) + '\n')
    print(f'wrote {args.out}')
    return int(any(row.get('wrong') for row in rows))


if __name__ == '__main__':
    raise SystemExit(main())
