"""Public function, fake kernels and autograd of the `selective_scan` ops."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backend import register
from ..checks import expect, expect_bool, expect_shape, expect_tensors
from ..derivatives import register_derivatives
from ..dtypes import work_dtype
from ..layout import empty_along
from . import fallback


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Run the selective (S6) recurrence along the last axis.

    .. math:: h_l = \exp(\Delta_l A)\,h_{l-1} + \Delta_l B_l u_l, \qquad
        y_l = (C_l h_l + D u_l)\,\mathrm{SiLU}(z_l)

    Names, order and shapes are those of mamba_ssm's `selective_scan_fn`. Inputs may be
    fp16, bf16, fp32 (or all fp64), mixed, with any strides; the state is fp32 (fp64 for
    fp64 inputs) on every device. The backward is deterministic; the gradient through
    the last state is exact. There is no second, and no forward-mode,
    derivative.

    Args:
        u: Input, `(b, d, l)`.
        delta: Step sizes before bias and softplus, `(b, d, l)`.
        A: State matrix, `(d, n)`, negative for a decaying state.
        B: Input matrix: `(b, g, n, l)`, channel `i` uses group `i // (d // g)`;
            `(b, n, l)`, one group; or `(d, n)`, the same at every step.
        C: Output matrix, any shape that `B` may have.
        D: Skip weights, `(d,)`, or None for no skip.
        z: Gate before its SiLU, `(b, d, l)`, or None for no gate. SiLU(z) is rounded to
            the dtype of z, as in mamba_ssm's `selective_scan_ref`.
        delta_bias: Added to `delta` before softplus, `(d,)`.
        delta_softplus: Apply softplus to `delta + delta_bias`.
        return_last_state: Also return the state after the last step.

    Returns:
        `y`, `(b, d, l)`, in the dtype of `u`; with `return_last_state` also the last
        state, `(b, d, n)`, in fp32 (fp64).

    Raises:
        TypeError: If an argument is not of the kind that is named here.
        ValueError: If shapes, dtypes or devices disagree; the message names both.

    Reference: Gu & Dao, *Mamba*, arXiv:2312.00752, Alg. 2; MambaMixer,
    arXiv:2403.19888, eq. (2), (3).
    """
    expect_tensors(
        dict(u=u, delta=delta, A=A, B=B, C=C), dict(D=D, z=z, delta_bias=delta_bias)
    )
    expect_bool('delta_softplus', delta_softplus)
    expect_bool('return_last_state', return_last_state)
    expect(u.dim() == 3, f'u must be (b, d, l), got {tuple(u.shape)}')
    b, d, l = u.shape
    expect_shape('delta', delta, (b, d, l), '(b, d, l)')
    expect(
        A.dim() == 2 and A.shape[0] == d and A.shape[1] > 0,
        f'A must have shape (d, n) with d = {d} and n > 0, got {tuple(A.shape)}',
    )
    expect_shape('D', D, (d,), '(d,)')
    expect_shape('z', z, (b, d, l), '(b, d, l)')
    expect_shape('delta_bias', delta_bias, (d,), '(d,)')
    work = work_dtype(u)
    B, C = _grouped('B', B, u, A), _grouped('C', C, u, A)
    if B.shape[1] != C.shape[1]:  # the op wants equal numbers of groups
        groups = math.lcm(B.shape[1], C.shape[1])
        B, C = _repeated(B.to(work), groups), _repeated(C.to(work), groups)

    params = [None if p is None else p.to(work) for p in (A, D, delta_bias)]
    A, D, delta_bias = params
    dtype = u.dtype if z is None else work
    y, last_state, _ = torch.ops.mmmambamixer.selective_scan(
        *(u, delta, A, B, C, D, delta_bias, delta_softplus, dtype), interval=0
    )
    if z is not None:
        y = (y * F.silu(z)).to(u.dtype)
    return (y, last_state) if return_last_state else y


def _grouped(name: str, matrix: Tensor, u: Tensor, A: Tensor) -> Tensor:
    """Bring `B` or `C` to `(b, g, n, l)`."""
    (b, d, l), n = u.shape, A.shape[1]
    if matrix.dim() == 2:
        expect_shape(name, matrix, (d, n), '(d, n)')
        # in the work dtype: the gradient is a sum over steps, rounded once at the end
        matrix = matrix.to(work_dtype(u))
        if d == 0:  # one group, of no channels
            matrix = matrix.sum(0, keepdim=True)
        return matrix[None, :, :, None].expand(b, -1, n, l)
    if matrix.dim() == 3:
        expect_shape(name, matrix, (b, n, l), '(b, n, l)')
        return matrix[:, None]
    expect(
        matrix.dim() == 4,
        f'{name} must be (d, n), (b, n, l) or (b, g, n, l), got {tuple(matrix.shape)}',
    )
    g = matrix.shape[1]
    expect_shape(name, matrix, (b, g, n, l), '(b, g, n, l)')
    expect(
        g > 0 and d % g == 0, f'{name} has g = {g} groups, which do not divide d = {d}'
    )
    return matrix


def _repeated(matrix: Tensor, groups: int) -> Tensor:
    """Repeat the groups of `(b, g, n, l)` until there are `groups`, a multiple of g."""
    return matrix.repeat_interleave(groups // matrix.shape[1], dim=1)


def _setup_context(ctx, inputs, output):
    *tensors, ctx.delta_softplus, _, ctx.interval = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx, dy, dlast_state, dstates):
    *tensors, states = ctx.saved_tensors
    u, D, delta_bias = tensors[0], tensors[5], tensors[6]
    if dy is None:
        dy = torch.zeros_like(u)
    *grads, dD, dbias = torch.ops.mmmambamixer.selective_scan_backward(
        dy, dlast_state, *tensors, states, ctx.delta_softplus, ctx.interval
    )
    dD = None if D is None else dD
    dbias = None if delta_bias is None else dbias
    return (*grads, dD, dbias, None, None, None)


def _fake(u, delta, A, B, C, D, delta_bias, delta_softplus, dtype, interval):
    (b, d, l), g, n = u.shape, B.shape[1], A.shape[1]
    chunks = (l + interval - 1) // interval if interval else 0
    return (
        _empty(u, dtype),
        A.new_empty(b, n, d).mT if u.is_cuda else A.new_empty(b, d, n),
        A.new_empty(b, g, chunks, n, d // g),
    )


def _fake_backward(
    dy, dlast_state, u, delta, A, B, C, D, delta_bias, states, delta_softplus, interval
):
    return (
        *(_empty(t) for t in (u, delta)),
        *(t.new_empty(t.shape) for t in (A, B, C)),
        *(A.new_empty(0 if t is None else t.shape[0]) for t in (D, delta_bias)),
    )


def _empty(x, dtype=None):
    """Return an empty tensor of the shape of `x`, on GPU in its order of axes."""
    return empty_along(x, dtype) if x.is_cuda else x.new_empty(x.shape, dtype=dtype)


register_derivatives('selective_scan', _backward, _setup_context)
register('selective_scan', _fake, fallback.forward, 'selective_scan.gpu:forward')
register(
    'selective_scan_backward',
    _fake_backward,
    fallback.backward,
    'selective_scan.gpu:backward',
)
