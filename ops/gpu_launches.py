"""Compile the GPU kernels as the ops launch them, on a machine without a GPU.

Shared by tests and benchmarks; the library itself does not use it. The launch code of
the ops runs on CPU tensors, what it would launch is noted, and each note can be
compiled for a GPU of any kind.
"""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from .backend import op_names
from .testing import on_cpu


class Launch(NamedTuple):
    """One launch of a kernel: its arguments, then its compile-time constants."""

    kernel: JITFunction
    arguments: tuple
    constants: dict

    @property
    def name(self) -> str:
        """Return the name of the kernel."""
        return self.kernel.__name__.strip('_').removesuffix('_kernel')

    @property
    def specialisation(self) -> tuple:
        """Return what Triton compiles for: launches that agree in it share the code."""
        constants = (f'{key}={value}' for key, value in self.constants.items())
        return self.name, _kind(self.arguments), *constants

    def compile(self, capability: int):
        """Return the kernel compiled for GPUs of `capability`, as 90 for sm_90."""
        before = dict(vars(driver))  # the names differ between versions of Triton
        driver.set_active(_Compiler(capability))
        try:
            return self.kernel.run(
                *self.arguments, grid=(1,), warmup=True, **self.constants
            )
        finally:
            vars(driver).update(before)


def _kind(value: object) -> object:
    """Return what Triton knows of an argument when it compiles."""
    if isinstance(value, tuple):
        return tuple(map(_kind, value))
    if isinstance(value, Tensor):
        aligned = value.data_ptr() % 16 == 0
        return f'*{value.dtype}'.replace('torch.', '') + ('/16' if aligned else '')
    if isinstance(value, int) and value != 1:  # 1 is a constant for Triton
        size = 'i32' if -(2**31) <= value < 2**31 else 'i64'
        return size + ('/16' if value % 16 == 0 else '')
    return value


class _Compiler:
    """A driver that names the GPU to compile for."""

    def __init__(self, capability: int):
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget('cuda', self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # kernels are cached for each device

    def get_current_stream(self, device: int) -> int:
        return 0


@contextmanager
def noted_launches() -> Iterator[list[Launch]]:
    """Let launches of Triton be noted in the list that is yielded, and do nothing."""
    run, launches = JITFunction.run, []

    def note(self, *args, grid, warmup, **constants):
        launches.append(Launch(self, args, constants))

    JITFunction.run = note
    try:
        yield launches
    finally:
        JITFunction.run = run


def gpu_functions_on_cpu() -> AbstractContextManager:
    """Send CPU tensors to the GPU functions of the ops."""
    functions = {}
    for op in op_names():
        gpu = importlib.import_module(f'.{op}.gpu', __package__)
        functions |= {op: gpu.forward, f'{op}_backward': gpu.backward}
    return on_cpu(functions)
