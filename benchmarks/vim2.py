"""Time the forward of ViM2-T at 224 x 224: compiled ops against loops in PyTorch.

    python benchmarks/vim2.py [--batch 1] [--runs 3] [--threads 2]
        [--mamba-ssm .../mamba_ssm/ops/selective_scan_interface.py]

The same network, weights and images in one process; the providers take turns, so that a
machine that slows down slows all. They are the compiled ops, our reference ops and,
with `--mamba-ssm`, mamba_ssm's `selective_scan_ref` between our cross-scan and
cross-merge. No time is printed for a provider whose output differs. Writes
benchmarks/results/vim2_cpu.json.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peers import mamba_ssm_reference
from report import environment

from mmmambamixer import ViM2, ops
from mmmambamixer.models.layers import s6, weighted_average
from mmmambamixer.ops.cross_selective_scan import reference as cross_reference

RESULTS = Path(__file__).parent / 'results' / 'vim2_cpu.json'


@contextmanager
def provided_by(scan: Callable, average: Callable) -> Iterator[None]:
    """Let the layers call `scan` and `average`."""
    compiled = s6.cross_selective_scan, weighted_average.weighted_sum
    s6.cross_selective_scan, weighted_average.weighted_sum = scan, average
    try:
        yield
    finally:
        s6.cross_selective_scan, weighted_average.weighted_sum = compiled


def around(reference: Callable) -> Callable:
    """Return the cross selective scan with another `selective_scan` in its middle."""

    def scan(*args, **kwargs):
        ours = cross_reference.selective_scan_reference
        cross_reference.selective_scan_reference = reference
        try:
            return ops.cross_selective_scan_reference(*args, **kwargs)
        finally:
            cross_reference.selective_scan_reference = ours

    return scan


def seconds(model: torch.nn.Module, images: torch.Tensor) -> float:
    start = time.perf_counter()
    model(images)
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--mamba-ssm', type=Path, help='their interface file')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = ViM2(arch='tiny').eval()
    images = torch.randn(args.batch, 3, 224, 224)
    providers = {
        'compiled': (ops.cross_selective_scan, ops.weighted_sum),
        'reference': (ops.cross_selective_scan_reference, ops.weighted_sum_reference),
    }
    if args.mamba_ssm:
        theirs = around(mamba_ssm_reference(args.mamba_ssm))
        providers['mamba_ssm selective_scan_ref'] = (theirs, ops.weighted_sum_reference)

    expected = model(images)[0]
    times = {}
    for name, provider in providers.items():
        with provided_by(*provider):
            error = ((model(images)[0] - expected).norm() / expected.norm()).item()
        if not error < 1e-4:
            raise SystemExit(f'{name} differs by {error:.1e} (relative RMS): no times')
        times[name] = []
    for _ in range(args.runs):
        for name, provider in providers.items():
            with provided_by(*provider):
                times[name].append(seconds(model, images))
            print(f'{name}: {times[name][-1]:.3f} s', flush=True)
    compiled = times['compiled']
    ratios = {
        name: statistics.median(a / b for a, b in zip(slow, compiled, strict=True))
        for name, slow in times.items()
    }
    report = dict(
        command=' '.join(['python benchmarks/vim2.py', *sys.argv[1:]]),
        **environment(),
        batch=args.batch,
        seconds=times,
        ratio_to_compiled=ratios,
    )
    RESULTS.write_text(json.dumps(report, indent=1) + '\n')
    for name, ratio in ratios.items():
        median = statistics.median(times[name])
        print(f'batch {args.batch}, {name}: {median:.3f} s, {ratio:.1f} x')


if __name__ == '__main__':
    main()
