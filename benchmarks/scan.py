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
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from scan_cases import (
    BATCHED,
    SHAPES,
    Shape,
    error,
    limits,
    make_call,
    make_inputs,
    truth,
)
from scan_providers import COMPILED, EXP, OURS, Provider, exp_call, find
from sweep import QUICK, add_arguments, add_times, free, set_defaults, short, sweep
from timing import interleave, timer
from torch import Tensor

FEW_STEPS = 100
"""With fewer no call takes long."""


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
            errors={k: short(e) for k, e in errors.items()},
            wrong=any(not e <= limits(dtype)[k] for k, e in errors.items()),
        )
    return verdicts


def measure(
    providers: Mapping[str, Provider], args: argparse.Namespace, shape: Shape, mode: str
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
    rows = [
        dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode, provider=name) | verdict
        for name, verdict in verdicts.items()
    ]
    add_times(rows, timed)
    return rows


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument('--longest', type=float, default=20, help='seconds of a call')
    parser.add_argument('--compiled', action='store_true', help='also torch.compile')
    parser.add_argument('--mamba-ssm', type=Path, help='their interface file')
    parser.add_argument('--mambapy', type=Path, help="mamba.py's pscan.py")
    args = parser.parse_args(argv)
    set_defaults(args, 'scan', list(SHAPES.values()), QUICK)
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    providers, absent = find(args.device, args.mamba_ssm, args.mambapy, args.compiled)
    command = ' '.join(['python benchmarks/scan.py', *argv])
    return sweep(command, args, absent, partial(measure, providers, args))


if __name__ == '__main__':
    raise SystemExit(main())
