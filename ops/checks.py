"""Checks of op arguments: one clear sentence with what was expected and what came."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def expect(condition: bool, message: str) -> None:
    """Raise ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def expect_shape(name: str, tensor: Tensor | None, shape: tuple, letters: str) -> None:
    """Raise ValueError unless `tensor` is None or has `shape`, named by `letters`."""
    if tensor is not None and tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f'{name} must have shape {letters} = {tuple(shape)}, '
            f'got {tuple(tensor.shape)}'
        )


def expect_tensors(
    tensors: Mapping[str, Tensor], optional: Mapping[str, Tensor | None] | None = None
) -> None:
    """Check what holds for all tensors of an op; those of `optional` may be None.

    Raises:
        TypeError: If one is not a tensor.
        ValueError: Unless all are dense, of 16, 32 or 64 bits, and on one device.
    """
    given = {k: x for k, x in (optional or {}).items() if x is not None}
    given = {**tensors, **given}
    first = next(iter(given))
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f'{name} must be a tensor, got {type(tensor).__name__}')
        expect(
            tensor.dtype in DTYPES,
            f'{name} must be a real floating-point tensor (fp16, bf16, fp32 or fp64), '
            f'got {tensor.dtype}',
        )
        expect(
            tensor.layout == torch.strided and not tensor.is_nested,
            f'{name} must be a dense tensor, '
            f'got {"a nested one" if tensor.is_nested else tensor.layout}',
        )
        expect(
            tensor.device == given[first].device,
            f'all tensors must be on one device: {first} is on {given[first].device}, '
            f'{name} is on {tensor.device}',
        )


def expect_bool(name: str, value: bool) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f'{name} must be True or False, got {type(value).__name__}')


def expect_integer(name: str, value: int) -> None:
    """Raise TypeError unless `value` is an integer, known or a symbol of a graph."""
    if isinstance(value, Tensor) and torch.jit.is_tracing():  # sizes are tensors there
        return
    if not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f'{name} must be an integer, got {type(value).__name__}')


def expect_one_for_each_scan(routes: Sequence[int], scans: int) -> None:
    """Raise TypeError unless `routes` is a sequence, ValueError unless of `scans`."""
    if not isinstance(routes, Sequence) or isinstance(routes, str):
        raise TypeError(
            f'routes must be a sequence of Route, got {type(routes).__name__}'
        )
    expect(
        len(routes) == scans,
        f'routes must name one route for each of the g = {scans} scans, '
        f'got {len(routes)}',
    )
