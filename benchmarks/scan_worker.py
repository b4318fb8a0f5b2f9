"""Our scan in a process of its own: with other kernels, or in fresh memory.

`scan_limits.py` starts the processes and tells them what to measure.
"""

import ctypes
import gc
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import torch
from scan_cases import (
    Shape,
    channels_last,
    error,
    limits,
    make_call,
    make_inputs,
    truth,
)
from timing import Call, cpu_seconds
from torch import Tensor

from mmmambamixer.ops import selective_scan


class Setting(NamedTuple):
    """How the scan runs: kernels as MMMAMBAMIXER_CPU names them, '' for the best."""

    kernels: str = ''
    threads: int = 1
    dtype: str = 'float32'
    channels_last: bool = True


CALLS: dict[tuple[Setting, str], Call] = {}


def inputs_of(shape: Shape, setting: Setting, batch: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    inputs = make_inputs(shape, batch, getattr(torch, setting.dtype))
    return channels_last(inputs) if setting.channels_last else inputs


def prepare(shape: Shape, settings: Mapping[str, Setting], batch: int) -> dict:
    """Make the calls of the settings ready, and forget those before.

    Return by setting the errors and whether it is wrong.
    """
    CALLS.clear()
    verdicts = {}
    for name, setting in settings.items():
        inputs = inputs_of(shape, setting, batch)
        exact = truth(inputs)
        errors = error(selective_scan, inputs, exact, 'forward+backward')
        bounds = limits(getattr(torch, setting.dtype))
        verdicts[name] = dict(
            errors={k: float(f'{e:.3g}') for k, e in errors.items() if isfinite(e)},
            wrong=any(not e <= bounds[k] for k, e in errors.items()),
        )
        CALLS[setting, 'forward'] = make_call(selective_scan, inputs, 'forward')
        CALLS[setting, 'backward'] = backward_call(inputs)
    return verdicts


def backward_call(inputs: dict[str, Tensor]) -> Call:
    """Return the backward alone, after one forward."""
    leaves = {k: x.detach().requires_grad_() for k, x in inputs.items()}
    y = selective_scan(**leaves, delta_softplus=True)
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, list(leaves.values()), dy, retain_graph=True)


def turn(setting: Setting, mode: str, calls: int) -> float:
    """Return the seconds of a call."""
    torch.set_num_threads(setting.threads)
    return cpu_seconds(CALLS[setting, mode], calls)


def extra_memory(shape: Shape, setting: Setting, mode: str, batch: int) -> float:
    """Return the MiB at the peak of a call beyond its inputs and results.

    For a fresh process: it compares the greatest resident memory, which has the
    buffers that PyTorch does not know of, with the memory before. The kernels run once
    on a few numbers before, which loads them.
    """
    torch.set_num_threads(setting.threads)
    for size in (Shape('tiny', 2, 1), shape):
        inputs = inputs_of(size, setting, batch)
        if mode == 'forward':
            call = make_call(selective_scan, inputs, 'forward')
        else:
            call = backward_call(inputs)
        before, results, peak = _peak(call)
        del call
    size = sum(x.nbytes for x in results)
    return max(0, peak - before - size) / 2**20


def _peak(call: Call) -> tuple[int, tuple[Tensor, ...], int]:
    forget_peak()
    before = status('VmRSS')
    results = call()
    peak = status('VmHWM')
    return before, results if isinstance(results, tuple) else (results,), peak


def forget_peak() -> None:
    """Let VmHWM begin anew, without free memory, which would hide what a call takes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')


def status(field: str) -> int:
    """Return a field of this process's status, in bytes: VmRSS now, VmHWM at most."""
    text = Path('/proc/self/status').read_text()
    return int(re.search(rf'{field}:\s+(\d+) kB', text)[1]) * 1024
