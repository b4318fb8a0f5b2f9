"""Measure our scan on GPU against the hardware, and whether it repeats.

    python benchmarks/gpu_limits.py [--shapes token1 ...] [--batch 128]
        [--dtype bfloat16] [--rounds 20] [--repeats 20]

Forward without gradients and the backward alone, channels last. Beside each time stands
the one that the GPU would need if nothing but the bounding units counted: forward the
exponentials, one for each state and one for softplus; backward all instructions, of
which a lane takes at least `LEAST_INSTRUCTIONS` for an element. The rates of both
are measured in the same run, by kernels that do nothing else. `--repeats` calls must
agree in every bit. No time for a result that differs from fp64; then the exit status is
1. Writes results/gpu_limits.json.
"""
# ruff: noqa: RUF005, since Triton grows a tuple by + only

import argparse
import sys
from pathlib import Path

import torch
import triton
import triton.language as tl
from report import environment, write
from scan_cases import (
    SHAPES,
    STATES,
    Shape,
    channels_last,
    error,
    limits,
    make_call,
    make_inputs,
    shape_of,
    truth,
)
from scan_worker import backward_call
from sweep import QUICK, device_of, free
from timing import Call, interleave, load, summary, timer

from mmmambamixer.ops import selective_scan
from mmmambamixer.ops.scan_engine.gpu.leaves import exp2

RESULTS = Path(__file__).parent / 'results' / 'gpu_limits.json'
COMMAND = 'python benchmarks/gpu_limits.py'
MODES = ('forward', 'backward')
UNITS = dict(forward='exponentials', backward='instructions')
"""What bounds each mode."""

LEAST_INSTRUCTIONS = 303
"""Of a lane for an element with 16 states, backward: 13 for each state, and the sums
over channels with two channels a lane."""

LANES = tl.constexpr(128)
CHAINS = tl.constexpr(8)
"""Independent numbers of a lane, so that no unit waits for a result."""

UNROLL = tl.constexpr(16)


@triton.jit
def chains_kernel(out, start, factor, rounds, EXPONENTIALS: tl.constexpr):
    """Apply 2^-x, or x -> (x + 1) / 2 as one multiply-add, again and again."""
    x = ()
    for chain in tl.static_range(CHAINS):
        x = x + (tl.zeros([LANES], tl.float32) + start * chain,)
    for _ in range(rounds):
        for _ in tl.static_range(UNROLL):
            after = ()
            for chain in tl.static_range(CHAINS):
                if EXPONENTIALS:
                    after = after + (exp2(-x[chain]),)
                else:
                    after = after + (x[chain] * factor + factor,)
            x = after
    total = x[0]
    for chain in tl.static_range(1, CHAINS):
        total += x[chain]
    at = tl.program_id(0) * LANES + tl.arange(0, LANES)
    tl.store(out + at, total / CHAINS)


def chains(exponentials: bool, device: str, programs: int, rounds: int) -> Call:
    """Return a call of `operations(programs, rounds)` exponentials or multiply-adds."""
    out = torch.empty(programs * LANES.value, device=device)

    def call() -> torch.Tensor:
        chains_kernel[(programs,)](out, 0.1, 0.5, rounds, exponentials, num_warps=4)
        return out

    return call


def operations(programs: int, rounds: int) -> int:
    return programs * rounds * LANES.value * CHAINS.value * UNROLL.value


def rates(device: str, programs: int, rounds: int, turns: int) -> dict[str, float]:
    """Return by unit its operations a second, counted lane by lane.

    Raises:
        RuntimeError: If a kernel gave another number than the fixed point of its map.
    """
    fixed = dict(exponentials=0.6411857, instructions=1.0)
    calls = {
        unit: chains(unit == 'exponentials', device, programs, rounds) for unit in fixed
    }
    for unit, call in calls.items():
        found = call()
        if not torch.allclose(found, torch.full_like(found, fixed[unit]), atol=1e-5):
            raise RuntimeError(f'{unit}: expected {fixed[unit]}, got {found[:4]}')
    timed = interleave(calls, timer(device), turns, float('inf'))
    done = operations(programs, rounds)
    return {unit: done / summary(timed[unit])['seconds'] for unit in fixed}


def least_seconds(mode: str, elements: int, rate: dict[str, float]) -> float:
    """Return the time of the bounding unit alone."""
    needed = dict(forward=STATES + 1, backward=LEAST_INSTRUCTIONS)[mode]
    return elements * needed / rate[UNITS[mode]]


def repeats(call: Call, times: int) -> bool:
    """Return whether all calls give the same bits."""

    def results() -> tuple[torch.Tensor, ...]:
        found = call()
        return found if isinstance(found, tuple) else (found,)

    first = results()
    return all(
        torch.equal(a, b)
        for _ in range(times - 1)
        for a, b in zip(first, results(), strict=True)
    )


def measure(shape: Shape, args: argparse.Namespace, rate: dict) -> list[dict]:
    """Return a row for forward and backward."""
    torch.manual_seed(0)
    dtype = getattr(torch, args.dtype)
    inputs = channels_last(make_inputs(shape, args.batch, dtype, args.device))
    errors = error(selective_scan, inputs, truth(inputs), 'forward+backward')
    wrong = any(not e <= limits(dtype)[k] for k, e in errors.items())
    calls = dict(
        forward=make_call(selective_scan, inputs, 'forward'),
        backward=backward_call(inputs),
    )
    rows = []
    for mode, call in calls.items():
        row = dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode)
        row |= dict(errors={k: float(f'{e:.3g}') for k, e in errors.items()})
        row |= dict(wrong=wrong, repeats=repeats(call, args.repeats))
        if not wrong:
            timed = interleave({mode: call}, timer(args.device), args.rounds, 5)
            row |= summary(timed[mode])
            least = least_seconds(mode, shape.elements(args.batch), rate)
            row |= dict(least_seconds=float(f'{least:.4g}'))
            row |= dict(share=float(f'{least / row["seconds"]:.4g}'))
        rows.append(row)
    return rows


def describe(row: dict) -> str:
    head = f'{row["shape"]:<10} {row["mode"]:<9}'
    repeats = 'repeats' if row['repeats'] else 'does not repeat'
    if row['wrong']:
        return f'{head} wrong: errors {row["errors"]}, {repeats}'
    times = f'{1e3 * row["seconds"]:9.3f} ms, least {1e3 * row["least_seconds"]:.3f} ms'
    return f'{head}{times}, {100 * row["share"]:.1f} %, {repeats}'


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shapes', nargs='+', type=shape_of, help='names or LxD')
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='bfloat16')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--repeats', type=int, default=20)
    parser.add_argument('--quick', action='store_true', help='tiny shapes, few rounds')
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    shapes = args.shapes or (QUICK if args.quick else list(SHAPES.values()))
    work = dict(programs=2**14, rounds=64, turns=args.rounds)
    if args.quick:
        args.rounds, args.batch = 3, 1
        work = dict(programs=1, rounds=4, turns=3)
    report = dict(environment(), command=' '.join([COMMAND, *argv]))
    report |= dict(load_before=load(), device=device_of(args))
    report |= dict(dtype=args.dtype, batch=args.batch, states=STATES)
    rate = rates(args.device, **work)
    report |= dict(rates={unit: float(f'{x:.4g}') for unit, x in rate.items()})
    for unit, value in rate.items():
        print(f'{unit}: {value:.3g} a second')
    rows = []
    for shape in shapes:
        for row in measure(shape, args, rate):
            print(describe(row), flush=True)
            rows.append(row)
        free()
    report |= dict(load_after=load(), device_after=device_of(args), rows=rows)
    write(args.out, report)
    print(f'wrote {args.out}')
    return int(any(row['wrong'] or not row['repeats'] for row in rows))


if __name__ == '__main__':
    raise SystemExit(main())
