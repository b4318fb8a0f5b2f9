"""Which derivatives the ops have: the first one, backward; all others raise.

PyTorch would otherwise take a forward-mode derivative of an op that has none to be 0.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch._library.autograd import Info, make_autograd_impl
from torch.autograd import forward_ad

from .backend import INTERVAL, LIBRARY, NAMESPACE


def register_derivatives(op: str, backward: Callable, setup_context: Callable) -> None:
    """Register the backward of an op, and that its backward has none.

    All else is refused in the dispatcher, which traced, exported and compiled calls
    pass too. Under `torch.vmap` the op, and its backward, run once for each element of
    the batch.
    """
    overload = getattr(getattr(torch.ops, NAMESPACE), op).default
    run = make_autograd_impl(overload, Info(backward, setup_context))
    keeps_states = overload._schema.arguments[-1].name == 'interval'

    def checked(keyset, *args):
        tensors = list(_tensors(args))
        expect_backward_only(op, tensors)
        needed = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        if keeps_states and needed:
            args = (*args[:-1], args[-1] or INTERVAL)
        return run(keyset, *args)

    LIBRARY.impl(op, checked, 'Autograd', with_keyset=True)
    torch.library.register_autograd(f'{NAMESPACE}::{op}_backward', _refuse_second(op))
    for name in (op, f'{op}_backward'):
        torch.library.register_vmap(f'{NAMESPACE}::{name}', _one_by_one(name))


def expect_backward_only(op: str, tensors: list[Tensor]) -> None:
    """Raise RuntimeError if a call asks for a derivative that the op does not have."""
    if torch._C._are_functorch_transforms_active():
        kinds = torch._C._functorch.TransformType
        for interpreter in torch._C._functorch.get_interpreter_stack():
            if interpreter.key() in (kinds.Grad, kinds.Jvp):
                raise RuntimeError(
                    f'{op} has no derivatives by torch.func (grad, vjp, jvp, jacrev, '
                    f'jacfwd, hessian); use torch.autograd.grad or '
                    f'torch.autograd.functional.jacobian, or {op}_reference'
                )
    if forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(x).tangent is not None for x in tensors
    ):
        raise RuntimeError(
            f'{op} has no forward-mode derivative; differentiate it backward, or use '
            f'{op}_reference'
        )


def _tensors(args: Iterable) -> Iterator[Tensor]:
    """Yield the tensors among arguments, and those in lists."""
    for x in args:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _tensors(x)


def _refuse_second(op: str) -> Callable:
    def refuse(ctx, *grads):
        raise RuntimeError(f'{op} cannot be differentiated twice; use {op}_reference')

    return refuse


def _one_by_one(name: str) -> Callable:
    """Return the rule for `torch.vmap`: loop over the batch, stack what comes."""

    def run(info, in_dims, *args):
        size = info.batch_size

        def pick(x, dim, i):
            if isinstance(x, (list, tuple)) and isinstance(dim, (list, tuple)):
                return [pick(*pair, i) for pair in zip(x, dim, strict=True)]
            if dim is None:
                return x
            return x.select(dim, i) if size else x.sum(dim)  # zeros, for the shapes

        op = getattr(torch.ops.mmmambamixer, name)
        picked = (
            [pick(*pair, i) for pair in zip(args, in_dims, strict=True)]
            for i in range(max(size, 1))
        )
        return _stack([op(*some) for some in picked], size)

    return run


def _stack(results: list, size: int) -> tuple:
    """Stack `size` results, or each of their parts; return them and batch axes, 0."""
    if isinstance(results[0], Tensor):
        return torch.stack(results)[:size], 0
    parts = [_stack(list(part), size) for part in zip(*results, strict=True)]
    kind = type(results[0])
    return kind(x for x, _ in parts), kind(dim for _, dim in parts)
