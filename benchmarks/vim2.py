"""Time ViM2-T at 224 x 224 with our ops, and with others' in their place.

    python benchmarks/vim2.py [--batch 1] [--runs 3] [--threads 2]
        [--device cuda] [--dtype bfloat16] [--train]
        [--mamba-ssm .../mamba_ssm/ops/selective_scan_interface.py]
        [--vmamba .../VMamba/classification/models]

The same network, weights and images in one process; the providers take turns, so that a
machine that slows down slows all. They are

- the compiled ops: C++ on CPU, Triton on GPU;
- on CPU, our reference ops and, with `--mamba-ssm`, mamba_ssm's `selective_scan_ref`
  between our cross-scan and cross-merge;
- with `--vmamba`, mamba_ssm's scan between VMamba's cross-scan and cross-merge: on
  GPU `selective_scan_fn` between the kernels of `csm_triton`, on CPU its reference
  (that needs `--mamba-ssm`) between their PyTorch code, a check rather than a rival.

The forward without gradients, or with `--train` forward, the mean of the last map as a
loss, and backward. 16 bit is by autocast. No time is printed for a provider whose
output, or a gradient of the weights, differs. Writes results/vim2_cpu.json,
vim2_train_cpu.json, or ..._gpu.json.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peers import import_vmamba, mamba_ssm_reference
from report import environment, write
from timing import cpu_seconds, gpu
from torch import Tensor, nn

from mmmambamixer import ViM2, ops
from mmmambamixer.models.layers import s6, weighted_average
from mmmambamixer.ops import CROSS
from mmmambamixer.ops.cross_selective_scan import reference as cross_reference

RESULTS = Path(__file__).parent / 'results'
OURS = 'compiled'
LIMITS = dict(float32=1e-4, bfloat16=5e-2)
"""Relative RMS beyond which an output or the gradients differ from ours."""


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


def between_copies(scan: Callable, copy: Callable, merge: Callable) -> Callable:
    """Return the cross selective scan as VMamba runs it: on four copies of the map.

    Args:
        scan: `selective_scan_fn` of mamba_ssm, or its reference.
        copy: `cross_scan_fn` of VMamba.
        merge: `cross_merge_fn` of VMamba.
    """

    def cross(
        u: Tensor,
        dt: Tensor,
        dt_weight: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        dt_bias: Tensor,
        *,
        routes: Sequence[int],
        height: int,
        width: int,
    ) -> Tensor:
        if tuple(routes) != CROSS:
            raise ValueError(f'VMamba scans along {CROSS}, got {routes}')

        def copied(x: Tensor) -> Tensor:
            """Copy `(b, l, c)`, or each of `(b, g, l, c)`, to `(b, g, c, l)`."""
            own = x.dim() == 4
            maps = x.mT.unflatten(-1, (height, width)).contiguous()
            return copy(maps, one_by_one=own).flatten(3)

        sizes = [x.shape[-1] for x in (dt, B, C)]
        low, B, C = copied(torch.cat((dt, B, C), -1)).split(sizes, 2)
        xs = copied(u).flatten(1, 2)
        delta = torch.einsum('bgrl,gdr->bgdl', low, dt_weight.to(low)).flatten(1, 2)
        y = scan(
            *(xs, delta.to(xs), A.flatten(0, 1), B.contiguous(), C.contiguous()),
            *(D.flatten(), None, dt_bias.flatten(), True),
        )
        y = y.unflatten(1, (len(routes), -1)).unflatten(-1, (height, width))
        return merge(y).mT

    return cross


def find(args: argparse.Namespace) -> dict[str, tuple[Callable, Callable]]:
    """Return the scan and the average of each provider."""
    found = {OURS: (ops.cross_selective_scan, ops.weighted_sum)}
    reference = args.mamba_ssm and mamba_ssm_reference(args.mamba_ssm)
    if args.device == 'cpu':
        slow = ops.weighted_sum_reference
        found['reference'] = (ops.cross_selective_scan_reference, slow)
        if reference:
            found['mamba_ssm selective_scan_ref'] = (around(reference), slow)
    if args.vmamba:
        if args.device == 'cuda':
            from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

            name, scan = 'mamba_ssm selective_scan_fn, csm_triton', selective_scan_fn
        elif reference:
            name, scan = "mamba_ssm selective_scan_ref, VMamba's copies", reference
        else:
            raise SystemExit('error: --vmamba on CPU needs --mamba-ssm')
        vmamba = import_vmamba(args.vmamba, args.device)
        copies = between_copies(scan, vmamba.cross_scan_fn, vmamba.cross_merge_fn)
        found[name] = (copies, ops.weighted_sum)
    return found


def make_step(model: nn.Module, images: Tensor, args: argparse.Namespace) -> Callable:
    """Return a call that gives the last map and, in training, the gradients."""
    dtype = getattr(torch, args.dtype)
    weights = list(model.parameters()) if args.train else []

    def step() -> list[Tensor]:
        with torch.set_grad_enabled(args.train):
            with torch.autocast(args.device, dtype, enabled=dtype.itemsize == 2):
                y = model(images)[0]
            grads = torch.autograd.grad(y.float().mean(), weights) if weights else ()
        return [y.detach(), *grads]

    return step


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the greater relative RMS error: of the output, of all gradients."""

    def error(pairs: list[tuple[Tensor, Tensor]]) -> float:
        square = sum(((a - b).double() ** 2).sum() for a, b in pairs)
        return float((square / sum((b.double() ** 2).sum() for _, b in pairs)).sqrt())

    pairs = list(zip(found, expected, strict=True))
    errors = [error(part) for part in (pairs[:1], pairs[1:]) if part]
    return max(errors, key=lambda e: (e != e, e))  # NaN is the greatest


def seconds(step: Callable, device: str) -> float:
    def finished() -> None:
        step()
        if device == 'cuda':
            torch.cuda.synchronize()

    return cpu_seconds(finished, 1)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--size', type=int, default=224, help='side of the images')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--dtype', choices=LIMITS, default='float32')
    parser.add_argument('--train', action='store_true', help='with the backward')
    parser.add_argument('--mamba-ssm', type=Path, help='their interface file')
    parser.add_argument('--vmamba', help='their classification/models')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args(argv)
    end = dict(cpu='cpu', cuda='gpu')[args.device]
    name = f'vim2_train_{end}' if args.train else f'vim2_{end}'
    args.out = args.out or RESULTS / f'{name}.json'
    return args


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = ViM2(arch='tiny', drop_path_rate=0).to(args.device)
    images = torch.randn(args.batch, 3, args.size, args.size).to(args.device)
    step = make_step(model, images, args)
    providers = find(args)
    expected = step()
    times = {}
    for name, provider in providers.items():
        with provided_by(*provider):
            error = difference(step(), expected)
        if not error < LIMITS[args.dtype]:
            raise SystemExit(f'{name} differs by {error:.1e} (relative RMS): no times')
        times[name] = []
    del expected
    for _ in range(args.runs):
        for name, provider in providers.items():
            with provided_by(*provider):
                times[name].append(seconds(step, args.device))
            print(f'{name}: {times[name][-1]:.3f} s', flush=True)
    ratios = {
        name: statistics.median(a / b for a, b in zip(slow, times[OURS], strict=True))
        for name, slow in times.items()
    }
    report = dict(
        command=' '.join(['python benchmarks/vim2.py', *argv]),
        **environment(),
        device=gpu() if args.device == 'cuda' else 'cpu',
        dtype=args.dtype,
        train=args.train,
        batch=args.batch,
        size=args.size,
        seconds=times,
        ratio_to_compiled=ratios,
    )
    write(args.out, report)
    for name, ratio in ratios.items():
        median = statistics.median(times[name])
        print(f'batch {args.batch}, {name}: {median:.3f} s, {ratio:.1f} x')


if __name__ == '__main__':
    main()
