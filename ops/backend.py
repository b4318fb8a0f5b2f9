"""Schemas of the ops and the choice of what runs them.

The PyTorch dispatcher is the only switch: CPU tensors go to the C++ kernels of
`_C.so`, CUDA tensors to Triton. Without the binary, CPU tensors run the plain PyTorch
reference after one warning; without Triton, CUDA tensors raise.
"""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils._pytree import tree_map

NAMESPACE = 'mmmambamixer'
INTERVAL = 32
"""Steps between two states that the forward keeps for the backward."""

LIBRARY = torch.library.Library(NAMESPACE, 'DEF')
LIBRARY.define('cpu_capability() -> str')
LIBRARY.define(
    'selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, '
    'Tensor? delta_bias, bool delta_softplus, ScalarType dtype, int interval) '
    '-> (Tensor y, Tensor last_state, Tensor states)'
)
LIBRARY.define(
    'selective_scan_backward(Tensor dy, Tensor? dlast_state, Tensor u, Tensor delta, '
    'Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias, Tensor states, '
    'bool delta_softplus, int interval) -> (Tensor du, Tensor ddelta, Tensor dA, '
    'Tensor dB, Tensor dC, Tensor dD, Tensor ddelta_bias)'
)
LIBRARY.define(
    'cross_selective_scan(Tensor u, Tensor dt, Tensor dt_weight, Tensor A, Tensor B, '
    'Tensor C, Tensor? D, Tensor? dt_bias, int[] routes, SymInt height, SymInt width, '
    'int interval) -> (Tensor y, Tensor states)'
)
LIBRARY.define(
    'cross_selective_scan_backward(Tensor dy, Tensor u, Tensor dt, Tensor dt_weight, '
    'Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? dt_bias, Tensor states, '
    'int[] routes, SymInt height, SymInt width, int interval) -> (Tensor du, '
    'Tensor ddt, Tensor ddt_weight, Tensor dA, Tensor dB, Tensor dC, Tensor dD, '
    'Tensor ddt_bias)'
)
LIBRARY.define('weighted_sum(Tensor[] tensors, Tensor weights) -> Tensor')
LIBRARY.define(
    'weighted_sum_backward(Tensor dy, Tensor[] tensors, Tensor weights) '
    '-> (Tensor[] dtensors, Tensor dweights)'
)
LIBRARY.define(
    'scan_conv(Tensor v, Tensor weight, Tensor bias, int[] routes, bool silu) -> Tensor'
)
LIBRARY.define(
    'scan_conv_backward(Tensor dy, Tensor v, Tensor weight, Tensor bias, '
    'int[] routes, bool silu) -> (Tensor dv, Tensor dweight, Tensor dbias)'
)

LIBRARY.define(
    'gated_norm(Tensor x, Tensor z, Tensor weight, Tensor bias, float eps) -> Tensor'
)
LIBRARY.define(
    'gated_norm_backward(Tensor dy, Tensor x, Tensor z, Tensor weight, Tensor bias, '
    'float eps) -> (Tensor dx, Tensor dz, Tensor dweight, Tensor dbias)'
)

TRITON_FOUND = importlib.util.find_spec('triton') is not None

BINARY = Path(__file__).with_name('_C.so')
OLDEST_TORCH = (2, 10)
"""The first with the stable ABI that the binary uses; also in `setup.py`."""
HOW_TO_BUILD = (
    'build it with `pip install -e . --no-build-isolation` (needs a C++17 compiler)'
)
HOW_TO_GET_TRITON = 'install it with `pip install triton`'
OLDEST_TRITON = (3, 4)
"""The kernels compile with it and later ones; it comes with torch 2.8."""


def load_binary() -> str | None:
    """Load `_C.so` and return None, or return why it is not loaded and what to do.

    A binary that is absent, or not for a torch as old, is mentioned when a kernel is
    first missed, as that may be meant; one that does not load gives a warning at once.
    """
    if _minor(torch.__version__) < OLDEST_TORCH:
        oldest = '.'.join(map(str, OLDEST_TORCH))
        return (
            f'the compiled kernels need torch {oldest}, this is {torch.__version__}; '
            f'install torch {oldest} or later'
        )
    if not BINARY.is_file():
        return f'there is no {BINARY}; {HOW_TO_BUILD}'
    try:
        torch.ops.load_library(str(BINARY))
    except OSError as error:  # newer versions of torch hide the loader's own words
        reason = f'{BINARY} does not load: {error.__cause__ or error}; {HOW_TO_BUILD}'
        warnings.warn(
            'CPU tensors will run the slow PyTorch reference of the mmmambamixer ops, '
            f'as {reason}',
            RuntimeWarning,
            stacklevel=2,
        )
        return reason
    return None


def _minor(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split('.')[:2]))


BINARY_ERROR = load_binary()
REFERENCES: dict[str, Callable] = {}
"""What runs each op in plain PyTorch, by name."""


def op_names() -> tuple[str, ...]:
    """Return the names of the ops; the backward of each ends in `_backward`."""
    return tuple(name for name in REFERENCES if not name.endswith('_backward'))


def register(name: str, fake: Callable, reference: Callable, gpu: str) -> None:
    """Register what runs op `name`: the reference without the binary, Triton on GPU.

    Args:
        name: Name of an op whose schema this file defines.
        fake: Returns empty tensors, with the sizes, dtypes and strides of the results.
        reference: Plain PyTorch function with the signature of the schema.
        gpu: Function of the op folder's `gpu` module with the same signature, written
            `folder.gpu:function`; the module is loaded at the first call.
    """
    op = f'{NAMESPACE}::{name}'
    torch.library.register_fake(op, fake)
    REFERENCES[name] = _as_announced(reference, fake)
    if BINARY_ERROR is not None:
        slow = _warn_once_then(name, REFERENCES[name])
        torch.library.register_kernel(op, 'cpu', slow)
    launch = _load_then(gpu) if TRITON_FOUND else _needs_triton(name)
    torch.library.register_kernel(op, 'cuda', launch)
    # Under autocast the ops take their inputs as they come: 16-bit in, fp32 state.
    for key in ('AutocastCPU', 'AutocastCUDA'):
        LIBRARY.impl(name, torch.library.fallthrough_kernel, key)


def available_backends() -> dict[str, str]:
    """Return for each device type what runs the ops there, and why."""
    if BINARY_ERROR is None:
        cpu = f'C++ ({cpu_capability()})'
    else:
        cpu = f'PyTorch reference, slow: {BINARY_ERROR}'
    if not TRITON_FOUND:
        cuda = f'none: Triton is missing; {HOW_TO_GET_TRITON}'
    else:
        cuda = f'Triton {importlib.import_module("triton").__version__}'
        if old := triton_is_old():
            cuda = f'none: {old}'
        elif not torch.cuda.is_available():
            cuda += ' (torch sees no GPU here)'
    return {'cpu': cpu, 'cuda': cuda}


def cpu_capability() -> str:
    """Return the instruction set that the C++ kernels chose on this processor."""
    return torch.ops.mmmambamixer.cpu_capability()


@functools.cache
def triton_is_old() -> str | None:
    """Return what to do about a Triton that cannot compile the kernels, or None."""
    version = importlib.import_module('triton').__version__
    if tuple(map(int, version.split('.')[:2])) >= OLDEST_TRITON:
        return None
    oldest = '.'.join(map(str, OLDEST_TRITON))
    return (
        f'Triton {version} is too old, the GPU kernels need {oldest} or later; install '
        'torch 2.8 or later, which brings one that fits'
    )


def _load_then(target: str) -> Callable:
    module, function = target.split(':')

    def run(*args):
        if old := triton_is_old():
            raise RuntimeError(old)
        return getattr(importlib.import_module(f'.{module}', __package__), function)(
            *args
        )

    return run


def _warn_once_then(name: str, reference: Callable) -> Callable:
    def run(*args):
        warnings.warn(
            f'mmmambamixer::{name} runs its slow PyTorch reference on CPU, as '
            f'{BINARY_ERROR}',
            RuntimeWarning,
            stacklevel=2,
        )
        return reference(*args)

    return run


def _as_announced(function: Callable, fake: Callable) -> Callable:
    # Inside an op the dtypes are decided; autocast would narrow a reference's products.
    # Graphs are compiled for the strides of the fake kernels.
    def run(*args):
        with torch.autocast('cpu', enabled=False):
            return tree_map(torch.Tensor.copy_, fake(*args), function(*args))

    return run


def _needs_triton(name: str) -> Callable:
    def run(*args):
        raise RuntimeError(
            f'mmmambamixer::{name} needs Triton for CUDA tensors, which is not '
            f'installed; {HOW_TO_GET_TRITON}, or move the tensors to the CPU'
        )

    return run
