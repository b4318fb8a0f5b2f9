"""What can happen to a run, done to a small one again and again.

    python tests/torture/torture.py [SUITE ...] [--quick | --trials N] [--seed N]

Each suite prints how many of its trials went as they should; the exit code is 0 if all
did. Without names all suites run. They need no GPU.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from suites import Suites

TRIALS = dict(
    kill=(100, 4),
    kill_two_ranks=(30, 2),
    storage=(1, 29),
    corrupt=(120, 4),
    sigterm=(20, 2),
    sigterm_each=(1, 9),
    sigterm_all=(20, 3),
    children=(12, 12),
    nan=(20, 4),
    dead_worker=(10, 2),
    dead_rank=(10, 2),
    hung_rank=(5, 1),
)
"""Trials of each suite, as a whole and quick; of `storage` every how many-th step, of
`sigterm_each` every how many-th iteration."""


def run(suites: Suites, name: str, trials: int, seed: int) -> int:
    """Run a suite, print what went wrong and the count, and return how many did."""
    started, faults = time.monotonic(), []
    for fault in suites.begin(name, trials, random.Random(seed)):
        faults.append(fault)
        if fault:
            print(f'{name}, trial {len(faults)}: {fault}', flush=True)
    good, seconds = faults.count(None), time.monotonic() - started
    print(f'{name}: {good} of {len(faults)} in {seconds:.0f} s', flush=True)
    return len(faults) - good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('suites', nargs='*', metavar='SUITE', help=', '.join(TRIALS))
    parser.add_argument('--quick', action='store_true', help='a few trials of each')
    parser.add_argument('--trials', type=int, help='trials of each suite')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if unknown := set(args.suites) - set(TRIALS):
        parser.error(f'suites are {[*TRIALS]}, got {sorted(unknown)}')
    if args.trials is not None and args.trials < 1:
        parser.error(f'--trials must be 1 or more, got {args.trials}')
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory(prefix='torture-') as scratch:
        suites = Suites(Path(scratch))
        for name in args.suites or TRIALS:
            trials = args.trials or TRIALS[name][args.quick]
            failed += run(suites, name, trials, args.seed)
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
