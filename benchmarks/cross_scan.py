"""Time the core of a 2-D mixer, a map to a map, beside VMamba's own code.

    python benchmarks/cross_scan.py --vmamba .../VMamba/classification/models
        [--device cuda] [--dtype bfloat16] [--batch 128] [--rounds 15]

The core is: project the input to delta, B and C, scan along four routes, add up. Ours
is `S6`, that is one product and `cross_selective_scan`; theirs is `SS2D.forward_core`
with the same weights, each on a map in the layout that it likes. On GPU theirs runs the
kernels `selective_scan_cuda_oflex` and `csm_triton`, and is absent without them; on CPU
it runs its PyTorch code, a check rather than a rival. Rounds, errors and the exit
status are those of `scan.py`. On GPU also the memory of each side: what the forward
keeps for the backward beside its result, and the peak of both beyond the input.
Writes results/cross_scan_cpu.json, or ..._gpu.json.
"""

import argparse
import copy
import importlib.util
import sys
from collections.abc import Callable
from functools import partial

import torch
from peers import import_vmamba
from scan_cases import SHAPES, STATES, Shape, limits
from scan_providers import OURS
from sweep import QUICK, add_arguments, add_times, free, set_defaults, short, sweep
from timing import interleave, timer
from torch import Tensor, nn

from mmmambamixer.models.layers import s6
from mmmambamixer.ops import CROSS
from mmmambamixer.ops import cross_selective_scan_reference as reference
from mmmambamixer.ops.testing import relative_error

KINDS = ('results', 'gradients')
THEIRS = 'VMamba SS2D.forward_core'
KERNEL = 'selective_scan_cuda_oflex'
MAPS = [shape for name, shape in SHAPES.items() if name.startswith('token')]


def side(shape: Shape) -> int:
    """Return the side of the square map."""
    size = round(shape.l**0.5)
    if size**2 != shape.l:
        raise ValueError(f'a map is square, got {shape.l} positions')
    return size


class Ours(nn.Module):
    """`S6` over a map `(b, h, w, d)`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.side = side(shape)
        rank = -(-shape.d // 32)  # of the width outside, half of the width inside
        self.s6 = s6.S6(d_inner=shape.d, d_state=STATES, dt_rank=rank, routes=CROSS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.s6(x.flatten(1, 2), height=self.side, width=self.side)
        return y.unflatten(1, (self.side, self.side))


class Theirs(nn.Module):
    """`SS2D.forward_core` over a map `(b, d, h, w)`, with the weights of ours."""

    def __init__(self, vmamba: object, ours: Ours) -> None:
        super().__init__()
        own = ours.s6
        _, d, r = own.dt_weight.shape
        self.core = vmamba.SS2D(
            d_model=d // 2,
            d_state=STATES,
            ssm_ratio=2.0,
            dt_rank=r,
            forward_type='v05',
            channel_first=True,
        )
        self.core.out_norm = nn.Identity()
        same = dict(
            x_proj_weight=own.x_proj,
            dt_projs_weight=own.dt_weight,
            dt_projs_bias=own.dt_bias,
            A_logs=own.A_log,
            Ds=own.D,
        )
        for name, value in same.items():
            parameter = getattr(self.core, name)
            parameter.data = value.detach().clone().reshape(parameter.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.core.forward_core(x)


def make_call(core: nn.Module, x: Tensor, dy: Tensor, mode: str) -> Callable:
    """Return a call without arguments; with a backward it returns y and gradients."""
    if mode == 'forward':

        @torch.no_grad()
        def forward() -> tuple[Tensor]:
            return (run(core, x),)

        return forward
    x, used = x.detach().requires_grad_(), leaves(core)

    def both() -> tuple[Tensor, ...]:
        y = run(core, x)
        return y, *torch.autograd.grad(y, [x, *used], dy.to(y.dtype))

    return both


def run(core: nn.Module, x: Tensor) -> Tensor:
    """Run a core in the dtype of its input, 16 bit by autocast."""
    with torch.autocast(x.device.type, x.dtype, enabled=x.dtype.itemsize == 2):
        return core(x)


def leaves(core: nn.Module) -> list[Tensor]:
    return [p for name, p in core.named_parameters() if is_shared(name)]


def memory(core: nn.Module, x: Tensor, dy: Tensor) -> dict[str, float]:
    """Return MiB that the forward keeps beside y, and the peak beyond x, on GPU."""
    x, used = x.detach().requires_grad_(), leaves(core)
    free()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = run(core, x)
    saved = torch.cuda.memory_allocated() - before - y.nbytes
    torch.autograd.grad(y, [x, *used], dy.to(y.dtype))
    peak = torch.cuda.max_memory_allocated() - before
    return dict(saved_mib=short(saved / 2**20), peak_mib=short(peak / 2**20))


def is_shared(name: str) -> bool:
    """Return whether a parameter belongs to the core; theirs has those of a block."""
    return name.split('.')[-1].startswith(('x_proj', 'dt_', 'A_log', 'D'))


def exactly(core: Ours, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Return y and the gradient of x by the reference in fp64 on CPU."""
    core = copy.deepcopy(core).cpu().double()
    x, dy = x.cpu().double().requires_grad_(), dy.cpu().double()
    scan, s6.cross_selective_scan = s6.cross_selective_scan, reference
    try:
        y = core(x)
    finally:
        s6.cross_selective_scan = scan
    return y.detach(), *torch.autograd.grad(y, x, dy)


def errors_of(call: Callable, exact: tuple, channels_first: bool) -> dict[str, float]:
    """Return the errors of y and of the gradient of x, on the first of the batch."""
    errors = {}
    for kind, found, expected in zip(KINDS, call(), exact, strict=False):
        found = found[:1].cpu()
        if channels_first:
            found = found.permute(0, 2, 3, 1)
        errors[kind] = relative_error(found, expected)
    return errors


def measure(
    vmamba: object | None, args: argparse.Namespace, shape: Shape, mode: str
) -> list[dict]:
    """Return a row for each side: a time only where the result is right."""
    torch.manual_seed(0)
    dtype = getattr(torch, args.dtype)
    ours = Ours(shape).to(args.device)
    cores = {OURS: ours}
    if vmamba is not None:
        cores[THEIRS] = Theirs(vmamba, ours).to(args.device)
    size = (args.batch, side(shape), side(shape), shape.d)
    x, dy = torch.randn(2, *size).to(args.device, dtype)
    exact = exactly(ours, x[:1], dy[:1])
    rows, calls = [], {}
    with_memory = args.device == 'cuda' and mode != 'forward'
    for name, core in cores.items():
        theirs = name == THEIRS
        maps = [t.permute(0, 3, 1, 2).contiguous() if theirs else t for t in (x, dy)]
        call = make_call(core, *maps, mode)
        errors = errors_of(call, exact, theirs)
        wrong = any(not e <= limits(dtype)[k] for k, e in errors.items())
        if not wrong:
            calls[name] = call
        row = dict(shape=shape.name, l=shape.l, d=shape.d, mode=mode, provider=name)
        row |= dict(errors={k: short(e) for k, e in errors.items()}, wrong=wrong)
        rows.append(row | (memory(core, *maps) if with_memory else {}))
    timed = interleave(calls, timer(args.device), args.rounds, args.budget)
    add_times(rows, timed)
    return rows


def why_absent(args: argparse.Namespace) -> str:
    """Return why VMamba's code cannot be measured, or ''."""
    if args.vmamba is None:
        return '--vmamba names no folder'
    if args.device == 'cuda' and importlib.util.find_spec(KERNEL) is None:
        return f'{KERNEL} is not installed'
    return ''


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument('--vmamba', help='their classification/models')
    args = parser.parse_args(argv)
    set_defaults(args, 'cross_scan', MAPS, QUICK[:1])
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    reason = why_absent(args)
    vmamba = None if reason else import_vmamba(args.vmamba, args.device)
    command = ' '.join(['python benchmarks/cross_scan.py', *argv])
    absent = {THEIRS: reason} if reason else {}
    return sweep(command, args, absent, partial(measure, vmamba, args))


if __name__ == '__main__':
    raise SystemExit(main())
