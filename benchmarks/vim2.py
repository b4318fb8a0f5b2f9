"""Time the forward of ViM2-T at 224 x 224: compiled ops against the reference ops.

    python benchmarks/vim2.py [--batch 1] [--runs 3] [--threads 2]

The same network, weights and images in one process; the two take turns, so that a
machine that slows down slows both. No time is printed if their outputs differ. Writes
benchmarks/results/vim2_cpu.json.
"""

import argparse
import json
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from report import environment

from mmmambamixer import ViM2, ops
from mmmambamixer.models.layers import s6, weighted_average

RESULTS = Path(__file__).parent / 'results' / 'vim2_cpu.json'


@contextmanager
def reference_ops():
    """Let the layers call the plain PyTorch references."""
    compiled = s6.cross_selective_scan, weighted_average.weighted_sum
    s6.cross_selective_scan = ops.cross_selective_scan_reference
    weighted_average.weighted_sum = ops.weighted_sum_reference
    try:
        yield
    finally:
        s6.cross_selective_scan, weighted_average.weighted_sum = compiled


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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = ViM2(arch='tiny').eval()
    images = torch.randn(args.batch, 3, 224, 224)

    compiled_output = model(images)[0]
    with reference_ops():
        reference_output = model(images)[0]
    error = (compiled_output - reference_output).norm() / reference_output.norm()
    if not error < 1e-4:
        raise SystemExit(f'outputs differ by {error:.1e} (relative RMS): no times')

    compiled, reference = [], []
    for run in range(args.runs):
        compiled.append(seconds(model, images))
        with reference_ops():
            reference.append(seconds(model, images))
        print(f'run {run + 1} of {args.runs}: {compiled[-1]:.3f} s', flush=True)
    ratios = [r / c for r, c in zip(reference, compiled, strict=True)]
    report = dict(
        command=f'python benchmarks/vim2.py --batch {args.batch} --runs {args.runs} '
        f'--threads {args.threads}',
        **environment(),
        relative_rms_difference=float(error),
        compiled_seconds=compiled,
        reference_seconds=reference,
        ratio_median=statistics.median(ratios),
    )
    RESULTS.write_text(json.dumps(report, indent=1) + '\n')
    print(
        f'ViM2-T 224 x 224, batch {args.batch}: compiled '
        f'{statistics.median(compiled):.3f} s, reference '
        f'{statistics.median(reference):.3f} s, {statistics.median(ratios):.1f} x'
    )


if __name__ == '__main__':
    main()
