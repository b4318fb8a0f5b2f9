"""Count registers, spills and instructions of the GPU kernels, without a GPU.

    python benchmarks/kernel_budget.py [--capability 80 90 100] [--only NAME ...]
        [--out FILE]

Every kernel is compiled as the ops would launch it, and never run. Printed are, per
kernel: registers of a thread, bytes of its stack (spills), and warp instructions of the
loops over steps for each element and state. The exit status is 1 if a kernel is above
its limit. Instructions are a bound, not a time: only a GPU tells that. `--out` writes
them to a file, as results/kernel_budget.json.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import triton
from report import environment, write

from mmmambamixer.ops.cross_selective_scan import gpu as cross_gpu
from mmmambamixer.ops.gated_norm import gpu as norm_gpu
from mmmambamixer.ops.gpu_launches import noted_launches
from mmmambamixer.ops.scan_conv import gpu as conv_gpu
from mmmambamixer.ops.selective_scan import gpu, gpu_scan
from mmmambamixer.ops.selective_scan.gpu_scan import FORWARD_WINDOW, window_steps
from mmmambamixer.ops.weighted_sum import gpu as sum_gpu

TOOLS = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin'
CAPABILITIES = 80, 90, 100
STACK_LIMIT = dict(forward=0, backward=64)  # bytes, at 16 states


class Case(NamedTuple):
    """Calls of the ops to compile, and what their kernels may cost at most."""

    run: Callable[[], None]
    states: int | None = None
    limits: dict[str, float] | None = None  # instructions per element and state


def plain(
    n: int,
    dtype: torch.dtype,
    *,
    l: int = 196,
    d: int = 64,
    options: bool = True,
    channels_last: bool = True,
):
    """Call `selective_scan` forward and backward, channels or steps contiguous."""
    work = torch.float64 if dtype == torch.float64 else torch.float32
    u = torch.zeros(1, d, l, dtype=dtype)
    if channels_last:
        u = u.mT.contiguous().mT
    B = torch.zeros(1, 1, l, n, dtype=dtype).transpose(2, 3)
    row = torch.zeros(d, dtype=work) if options else None
    tensors = (u, u, torch.zeros(d, n, dtype=work), B, B, row, row)
    y, last_state, states = gpu.forward(*tensors, options, dtype, 32)
    last_state = last_state if options else None
    gpu.backward(y, last_state, *tensors, states, options, 32)


def cross(
    n: int,
    routes: list[int],
    height: int,
    width: int,
    *,
    shared: bool = True,
    rank: int = 4,
):
    """Call `cross_selective_scan` forward, with and without states, and backward."""
    g, d, l = len(routes), 64, height * width
    u = torch.zeros(1, 1 if shared else g, l, d, dtype=torch.bfloat16)
    dt, B = (torch.zeros(1, g, l, x, dtype=torch.bfloat16) for x in (rank, n))
    weight, A, row = torch.zeros(g, d, rank), torch.zeros(g, d, n), torch.zeros(g, d)
    tensors, size = (u, dt, weight, A, B, B, row, row), (routes, height, width)
    cross_gpu.forward(*tensors, *size, 0)
    y, states = cross_gpu.forward(*tensors, *size, 32)
    cross_gpu.backward(y, *tensors, states, *size, 32)


def weighted_sum(count: int, dtype: torch.dtype) -> None:
    """Call `weighted_sum` forward and backward."""
    tensors, weights = [torch.zeros(4096, dtype=dtype)] * count, torch.zeros(count)
    sum_gpu.backward(sum_gpu.forward(tensors, weights), tensors, weights)


def scan_conv(dtype: torch.dtype, *, by_feature: bool) -> None:
    """Call `scan_conv` with its SiLU forward and backward, with Mamba's four taps."""
    features = (64,) if by_feature else ()
    v, weight = torch.zeros(1, 49, 64, dtype=dtype), torch.zeros(4, 4, *features)
    given = v, weight, torch.zeros(4, *features), [0, 1, 2, 3], True
    conv_gpu.backward(conv_gpu.forward(*given), *given)


def gated_norm(d: int, *, turned: bool) -> None:
    """Call `gated_norm` forward and backward; `turned`: steps of x are neighbours."""
    x, row = torch.zeros(1, 49, d), torch.zeros(d)
    x = x.mT.contiguous().mT if turned else x
    given = x, torch.zeros(1, 49, d, dtype=torch.bfloat16), row, row, 1e-5
    norm_gpu.backward(norm_gpu.forward(*given), *given)


def chunked(call: Callable[[], None]) -> None:
    """Call an op as for few channels: chunks of the steps side by side."""
    in_chunks, gpu_scan.in_chunks = gpu_scan.in_chunks, lambda *_: True
    try:
        call()
    finally:
        gpu_scan.in_chunks = in_chunks


CASES = {
    'plain bf16, 16 states': Case(
        lambda: plain(16, torch.bfloat16), 16, dict(forward=8, backward=30)
    ),
    'plain bf16, 16 states, steps contiguous': Case(
        lambda: plain(16, torch.bfloat16, channels_last=False),
        16,
        dict(forward=8, backward=30),
    ),
    'cross bf16, 16 states': Case(
        lambda: cross(16, [0, 1, 2, 3], 14, 14), 16, dict(forward=8, backward=30)
    ),
    'cross bf16, 16 states, rank 16': Case(
        lambda: cross(16, [0, 1, 2, 3], 14, 14, rank=16),
        16,
        dict(forward=9, backward=30),
    ),
    'plain fp16, 1 state, no options': Case(
        lambda: plain(1, torch.float16, options=False)
    ),
    'plain fp64, 3 states': Case(lambda: plain(3, torch.float64)),
    'plain fp32, 1 channel, 1 step': Case(lambda: plain(2, torch.float32, l=1, d=1)),
    'plain fp32, 20 states': Case(lambda: plain(20, torch.float32)),
    'cross, own inputs, 1 scan, 1 step': Case(
        lambda: cross(1, [1], 1, 1, shared=False)
    ),
    'chunks, bf16, 16 states': Case(lambda: chunked(lambda: plain(16, torch.bfloat16))),
    'chunks, cross, bf16, 16 states': Case(
        lambda: chunked(lambda: cross(16, [0, 1, 2, 3], 14, 14))
    ),
    'weighted sum of 1': Case(lambda: weighted_sum(1, torch.float32)),
    'weighted sum of 36': Case(lambda: weighted_sum(36, torch.bfloat16)),
    'scan convolution': Case(lambda: scan_conv(torch.bfloat16, by_feature=False)),
    'scan convolution by feature': Case(
        lambda: scan_conv(torch.float32, by_feature=True)
    ),
    'gated norm bf16, 192 features': Case(lambda: gated_norm(192, turned=False)),
    'gated norm bf16, 192 features, steps contiguous': Case(
        lambda: gated_norm(192, turned=True)
    ),
    'gated norm bf16, 1536 features, steps contiguous': Case(
        lambda: gated_norm(1536, turned=True)
    ),
}


def inspect(cubin: bytes) -> tuple[int, int, int]:
    """Return registers, stack bytes, and instructions in all innermost loops."""
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        usage = _tool('cuobjdump', '-res-usage', file.name)
        sass = _tool('nvdisasm', '-c', file.name)
    registers, stack = map(int, re.search(r'REG:(\d+) STACK:(\d+)', usage).groups())

    labels, loops, count = {}, [], 0
    for line in sass.splitlines():
        if label := re.match(r'(\.L_x_\d+):', line):
            labels[label[1]] = count
        elif re.search(r'/\*[0-9a-f]{4,}\*/ ', line):
            count += 1
            jump = re.search(r'BRA.*\((\.L_x_\d+)\)', line)
            if jump and jump[1] in labels:  # backward
                loops.append((labels[jump[1]], count))
    innermost = [
        (a, b) for a, b in loops if not any(a <= c and d < b for c, d in loops)
    ]
    return (
        registers,
        stack,
        sum(end - start for start, end in innermost if end > start + 1),
    )


def _tool(name: str, *args: str) -> str:
    run = subprocess.run(
        [TOOLS / name, *args], capture_output=True, text=True, check=True
    )
    return run.stdout


def budget(capability: int, name: str, case: Case) -> list[dict]:
    """Compile a case; print and return a row for each kernel."""
    start = time.perf_counter()
    with noted_launches() as launches:
        case.run()
    compiled = [(launch.name, launch.compile(capability)) for launch in launches]
    seconds = time.perf_counter() - start
    rows = []
    for kernel, code in compiled:
        registers, stack, instructions = inspect(code.asm['cubin'])
        row = dict(capability=capability, case=name, kernel=kernel)
        row |= dict(registers=registers, stack=stack)
        if case.limits:
            steps = FORWARD_WINDOW if kernel == 'forward' else window_steps(case.states)
            cost = instructions / steps / case.states
            row |= dict(cost=round(cost, 2), limit=case.limits[kernel])
            kept = 0 < cost <= row['limit'] and stack <= STACK_LIMIT[kernel]
            row |= dict(kept=kept)
        rows.append(row)
        print(describe(row))
    print(f'    compiled in {seconds:.1f} s', flush=True)
    return rows


def describe(row: dict) -> str:
    text = (
        f'sm_{row["capability"]}  {row["case"]}: {row["kernel"]}: '
        f'{row["registers"]} registers, {row["stack"]} B stack'
    )
    if 'cost' in row:
        text += (
            f', {row["cost"]:.1f} instructions per element and state '
            f'(limit {row["limit"]})'
        )
        if not row['kept']:
            text += '  <- above the limit'
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--capability', type=int, nargs='+', default=CAPABILITIES, choices=CAPABILITIES
    )
    parser.add_argument(
        '--only', nargs='+', default=[''], help='cases whose name contains one of these'
    )
    parser.add_argument('--out', type=Path, help='file for the results')
    args = parser.parse_args()
    cases = {
        name: case
        for name, case in CASES.items()
        if any(part in name for part in args.only)
    }
    if not cases:
        parser.error(f'no case contains {args.only}; there are: {", ".join(CASES)}')
    rows = [
        row
        for capability in args.capability
        for name, case in cases.items()
        for row in budget(capability, name, case)
    ]
    if args.out:
        command = ' '.join(['python benchmarks/kernel_budget.py', *sys.argv[1:]])
        report = dict(environment(), command=command, rows=rows)
        write(args.out, report)
        print(f'wrote {args.out}')
    sys.exit(0 if all(row.get('kept', True) for row in rows) else 1)


if __name__ == '__main__':
    main()
