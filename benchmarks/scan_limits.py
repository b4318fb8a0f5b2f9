"""Time our scan on CPU against itself: layouts, dtypes, threads, kernels, and memory.

    python benchmarks/scan_limits.py [--shapes token1 ...] [--rounds 11] [--batch 1]

The base is one thread, fp32, channels last and the best kernels of the processor; each
other setting differs in one of them. Forward without gradients, and the backward alone.
The kernels of another instruction set need a process of their own, so every set has
one, and they take turns. Memory is the peak beyond inputs and results, in a fresh
process each. No time for a result that differs from fp64; then the exit status is 1.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from report import environment, write
from scan_cases import SHAPES, Shape, shape_of
from scan_worker import Setting, extra_memory, prepare, turn
from sweep import QUICK
from timing import interleave, load, ratio, summary

from mmmambamixer.ops import available_backends

RESULTS = Path(__file__).parent / 'results' / 'scan_limits_cpu.json'
COMMAND = 'python benchmarks/scan_limits.py'
BASE = 'base'
SETTINGS = {
    BASE: Setting(),
    '2 threads': Setting(threads=2),
    'AVX2': Setting(kernels='avx2'),
    'bfloat16': Setting(dtype='bfloat16'),
    'steps contiguous': Setting(channels_last=False),
}
MODES = ('forward', 'backward')


def process(kernels: str) -> ProcessPoolExecutor:
    """Return a process that will be started with these kernels."""
    if kernels:
        os.environ['MMMAMBAMIXER_CPU'] = kernels
    pool = ProcessPoolExecutor(1, mp_context=get_context('spawn'))
    pool.submit(os.getpid).result()  # starts it, with the variable
    if kernels:
        del os.environ['MMMAMBAMIXER_CPU']
    return pool


@contextmanager
def processes(settings: dict[str, Setting]) -> Iterator[dict[str, ProcessPoolExecutor]]:
    """Have one process for each set of kernels."""
    pools = {
        kernels: process(kernels) for kernels in {s.kernels for s in settings.values()}
    }
    try:
        yield pools
    finally:
        for pool in pools.values():
            pool.shutdown()


def measure(
    shape: Shape,
    settings: dict[str, Setting],
    pools: dict[str, ProcessPoolExecutor],
    args: argparse.Namespace,
) -> list[dict]:
    """Return a row for each setting and mode."""
    verdicts = {}
    for kernels, pool in pools.items():
        own = {k: s for k, s in settings.items() if s.kernels == kernels}
        verdicts |= pool.submit(prepare, shape, own, args.batch).result()
    right = {name: name for name, verdict in verdicts.items() if not verdict['wrong']}
    rows = []
    for mode in MODES:

        def seconds(name: str, calls: int, mode: str = mode) -> float:
            setting = settings[name]
            pool = pools[setting.kernels]
            return pool.submit(turn, setting, mode, calls).result()

        timed = interleave(right, seconds, args.rounds, args.budget)
        for name in settings:
            row = dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode)
            row |= dict(setting=name, **verdicts[name])
            if name in timed:
                row |= summary(timed[name])
                rate = shape.elements(args.batch) / row['seconds'] / 1e6
                row['million_elements_per_second'] = float(f'{rate:.4g}')
                if BASE in timed:
                    row['ratio'] = ratio(timed[name], timed[BASE])
            rows.append(row)
    return rows


def measure_memory(shape: Shape, args: argparse.Namespace) -> list[dict]:
    """Return a row for forward and backward."""
    rows = []
    for mode in MODES:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            job = pool.submit(extra_memory, shape, Setting(), mode, args.batch)
            mib = float(f'{job.result():.3g}')
        rows.append(dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode, mib=mib))
    return rows


def describe(row: dict) -> str:
    head = f'{row["shape"]:<10} {row["mode"]:<9}'
    if 'mib' in row:
        return f'{head}{row["mib"]:8.2f} MiB beyond inputs and results'
    if row['wrong']:
        return f'{head}{row["setting"]:<18}wrong: errors {row["errors"]}'
    ratio = f'{row["ratio"]:5.2f} x' if 'ratio' in row else ''
    rate = f'{row["million_elements_per_second"]:7.1f} M elements/s'
    return f'{head}{row["setting"]:<18}{1e3 * row["seconds"]:9.3f} ms {rate} {ratio}'


def settings_here() -> tuple[dict[str, Setting], dict[str, str]]:
    """Return the settings that this machine has, and why it has not the others."""
    settings, absent = dict(SETTINGS), {}
    backend = available_backends()['cpu']
    if 'AVX-512' not in backend:
        del settings['AVX2']
        absent['AVX2'] = f'not beside AVX-512 kernels: the base is {backend}'
    if os.cpu_count() < 2:
        del settings['2 threads']
        absent['2 threads'] = 'one processor'
    return settings, absent


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shapes', nargs='+', type=shape_of, help='names or LxD')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=11)
    parser.add_argument('--budget', type=float, default=2, help='seconds')
    parser.add_argument('--quick', action='store_true', help='tiny shapes, 3 rounds')
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    shapes = args.shapes or (QUICK if args.quick else list(SHAPES.values()))
    if args.quick:
        args.rounds = 3
    settings, absent = settings_here()
    for name, reason in absent.items():
        print(f'absent: {name}: {reason}')
    report = dict(environment(), command=' '.join([COMMAND, *argv]))
    del report['threads']  # each row has its own
    report |= dict(
        load_before=load(),
        batch=args.batch,
        absent=absent,
    )
    rows, memory = [], []
    with processes(settings) as pools:
        for shape in shapes:
            for row in measure(shape, settings, pools, args):
                print(describe(row), flush=True)
                rows.append(row)
    for shape in shapes:
        for row in measure_memory(shape, args):
            print(describe(row), flush=True)
            memory.append(row)
    report |= dict(load_after=load(), rows=rows, memory=memory)
    write(args.out, report)
    print(f'wrote {args.out}')
    return int(any(row['wrong'] for row in rows))


if __name__ == '__main__':
    raise SystemExit(main())
