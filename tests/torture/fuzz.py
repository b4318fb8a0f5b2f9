"""Compare the ops with their references in fp64 on random calls.

    python tests/torture/fuzz.py [CALLS] [--seed N] [--kernels NAME ...]

All ops, sizes from 0, dtypes, strides, optional parts; what has to hold is in
`fuzz_checks.py`. The calls are dealt to the sets of CPU kernels that run here, each in
a process of its own. Each call that fails is printed with the smallest case that fails
alike, as the command that repeats it. The exit code is 0 if all calls went well.

`--kernels triton` sends small calls to the kernels of the GPU, in Triton's interpreter.
"""

import argparse
import ast
import os
import random
import subprocess
import sys
import time

import fuzz_triton
import torch
from fuzz_cases import Case, draw
from fuzz_checks import problem, smallest

KERNELS = ('avx512', 'avx2', 'portable')
CHOICE = 'MMMAMBAMIXER_CPU'


def kernels_here() -> tuple[str, ...]:
    """Return the sets of kernels that this processor can run."""
    best = torch.backends.cpu.get_cpu_capability()
    return KERNELS[{'AVX512': 0, 'AVX2': 1}.get(best, 2) :]


def case_of(number: int, seed: int, kernels: str = '') -> Case:
    """Return the case of call `number`; it is another one in the interpreter."""
    rng = random.Random(f'{seed}-{number}')
    if kernels == fuzz_triton.KERNELS:
        return draw(rng, fuzz_triton.OPS, fuzz_triton.fits)
    return draw(rng)


def environment(kernels: str) -> dict[str, str]:
    """Return the variables that choose `kernels` in a process."""
    if kernels == fuzz_triton.KERNELS:
        return {'TRITON_INTERPRET': '1'}
    return {CHOICE: kernels}


def command(case: Case, kernels: str) -> str:
    """Return the command that runs `case` alone."""
    variables = ' '.join(f'{k}={v}' for k, v in environment(kernels).items())
    script = f'python tests/torture/fuzz.py --kernels {kernels}'
    return f'{variables} {script} --case "{case}"'


def run_here(numbers: range, seed: int, kernels: str) -> None:
    """Run calls in this process; print `call N` before each, then what is wrong."""
    interpreted = kernels == fuzz_triton.KERNELS
    for number in numbers:
        print(f'call {number}', flush=True)
        case = case_of(number, seed, kernels)
        if problem(case, interpreted) is not None:
            case, found = smallest(case, interpreted)
            print(f'bad {number}: {found}\n{command(case, kernels)}', flush=True)


def run_apart(numbers: range, seed: int, kernels: str) -> int:
    """Run calls in a process with `kernels`; print what is wrong, return the good."""
    part = [numbers.start, numbers.stop, numbers.step]
    arguments = ['--seed', seed, '--kernels', kernels, '--part', *part]
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        env=os.environ | environment(kernels) | {'OMP_WAIT_POLICY': 'passive'},
        stdout=subprocess.PIPE,
        text=True,
    )
    started, bad, latest, start = 0, 0, None, time.monotonic()
    for line in process.stdout:
        if not line.startswith('call '):
            bad += line.startswith('bad ')
            print(f'{kernels}, {line}' if line.startswith('bad ') else line, end='')
            continue
        started, latest = started + 1, int(line.split()[1])
        if started % 2000 == 0:
            left = (time.monotonic() - start) / started * (len(numbers) - started)
            print(f'{kernels}: call {started}, {left:.0f} s left', flush=True)
    if process.wait() != 0:
        code = f'ended the process with code {process.returncode}'
        print(f'{kernels}, call {latest} {code}', flush=True)
        if latest is not None:
            print(command(case_of(latest, seed, kernels), kernels), flush=True)
        return max(0, started - 1 - bad)
    return started - bad


def main() -> int:
    """Run the calls; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('calls', type=int, nargs='?', default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--kernels',
        nargs='+',
        choices=(*KERNELS, fuzz_triton.KERNELS),
        default=kernels_here(),
    )
    parser.add_argument('--case', type=ast.literal_eval, help='run this case only')
    parser.add_argument('--part', type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True, warn_only=True)  # NaN in fresh memory
    torch.set_num_threads(1)
    if args.case or args.part:
        kernels = args.kernels[0]
        interpreted = kernels == fuzz_triton.KERNELS
        if interpreted:
            fuzz_triton.install()
        if args.part:
            run_here(range(*args.part), args.seed, kernels)
            return 0
        found = problem(args.case, interpreted)
        print(found or 'as it should be')
        return found is not None
    good, start = 0, time.monotonic()
    for i, kernels in enumerate(args.kernels):
        numbers = range(i, args.calls, len(args.kernels))
        here = run_apart(numbers, args.seed, kernels)
        print(f'fuzz, {kernels}: {here} of {len(numbers)}', flush=True)
        good += here
    seconds = time.monotonic() - start
    print(f'fuzz: {good} of {args.calls} (seed {args.seed}, {seconds:.0f} s)')
    return good < args.calls


if __name__ == '__main__':
    raise SystemExit(main())
