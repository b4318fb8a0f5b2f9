"""Checks of op arguments: one clear sentence with what was expected and what came."""

from torch import Tensor


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


def expect_real_on_one_device(**tensors: Tensor | None) -> None:
    """Raise ValueError unless all tensors are real floating point on one device."""
    given = {name: t for name, t in tensors.items() if t is not None}
    first = next(iter(given))
    for name, tensor in given.items():
        expect(
            tensor.dtype.is_floating_point,
            f'{name} must be a real floating-point tensor, got {tensor.dtype}',
        )
        expect(
            tensor.device == given[first].device,
            f'all tensors must be on one device: {first} is on {given[first].device}, '
            f'{name} is on {tensor.device}',
        )
