"""Launch of the shared Triton kernels on views `(b, g, l, d)` of the tensors.

Axis letters: b batch, g scan or group, l position (height * width), d channel of a
group, n state.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from ..gpu_dtypes import work_type
from ..scan_engine.gpu.chunks import adjoint_kernel, chain_kernel
from ..scan_engine.gpu.kernels import (
    ENDS,
    FROM_STARTS,
    WHOLE,
    backward_kernel,
    forward_kernel,
)
from ..scan_engine.gpu.steps import WARP

BLOCK = WARP.value  # channels of a program
FORWARD_WINDOW = 4  # steps whose loads are issued together
CHUNK = 32  # steps of a chunk, where they run side by side and no states are kept
SCHEDULERS = 4  # of a multiprocessor
MOST = 2**30  # steps, and channels times states: so that sums of two are an int32
MAX_ROUTES = 31  # routes travel as two bits each of one int64


class LowRank(NamedTuple):
    """Step sizes `dt weight^T` that the kernel expands; the rank is a multiple of 4.

    `dt` is `(b, g, l, r)`, `weight` `(g, d, r)` in the dtype of the state.
    """

    dt: Tensor
    weight: Tensor


class Sequences(NamedTuple):
    """A tensor over (batch, scan, position, channel): its memory and strides.

    That of positions is in bytes, so that an address is a single multiply-add.
    """

    memory: Tensor
    b: int
    g: int
    l: int
    d: int


def scan_forward(
    u: Tensor,
    delta: Tensor | LowRank,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    y: Tensor,
    last_state: Tensor | None,
    states: Tensor,
    *,
    routes: Sequence[int] | None,
    height: int,
    width: int,
    softplus: bool,
    interval: int,
) -> None:
    """Fill `y`, `last_state` and `states`.

    Without `routes`, all scans visit the rows of the map one after another.
    `u`, `delta`, `y` are `(b, g, l, d)`, `B` and `C` `(b, g, l, n)`, all with any
    strides; instead of `delta` there may be what the kernel makes it from; `A`
    `(g, d, n)`, `D` and `bias` `(g, d)`; `last_state` `(b, n, g, d)` and `states`
    `(b, g, chunks, n, d)` contiguous, in the dtype of the state.
    """
    (b, g, l, d), n = u.shape, A.shape[-1]
    low = delta if isinstance(delta, LowRank) else None
    rank = low.weight.shape[-1] if low else 0
    _check_size(height * width, g * d * max(n, rank))
    A = _by_state(A)
    programs = b * g * triton.cdiv(d, BLOCK)
    sequences = (
        _sequences(u),
        None if low else _sequences(delta),
        low and _by_state(low.weight),
        A,
        _matrices(states.dtype, B, C, *([low.dt] if low else [])),
        *map(_contiguous, (D, bias)),
        _sequences(y),
    )
    size = _pack(routes), height, width, g, d
    constants = dict(
        N=n,
        RANK=rank,
        PACKED=not routes and not low and _packed(FORWARD_WINDOW, u, delta, y),
        SOFTPLUS=softplus,
        INTERVAL=_checked(interval) if interval else 0,
        WINDOW=FORWARD_WINDOW,
        WORK=work_type(u),
    )
    with torch.cuda.device_of(u):
        if not in_chunks(programs, l, u.device):
            tensors = *sequences, last_state, states, None
            _launch(
                *(forward_kernel, programs, *tensors, *size),
                PHASE=WHOLE.value,
                **constants,
            )
            return
        if not interval:
            constants['INTERVAL'] = CHUNK
            states = states.new_empty(b, g, triton.cdiv(l, CHUNK), n, d)
        chunks = states.shape[2]
        sums = states.new_empty(b, g, chunks, d)
        call = forward_kernel, programs * chunks, *sequences, last_state, states, sums
        _launch(*call, *size, PHASE=ENDS.value, **constants)
        _chain(states, sums, None, A, backward=False)
        _launch(*call, *size, PHASE=FROM_STARTS.value, **constants)


def scan_backward(
    dy: Tensor,
    dlast_state: Tensor | None,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    bias: Tensor | None,
    states: Tensor,
    du: Tensor,
    ddelta: Tensor | None,
    *,
    routes: Sequence[int] | None,
    height: int,
    width: int,
    softplus: bool,
    interval: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Fill `du` and `ddelta`, `(b, g, l, d)` with any strides; return the other five.

    Shapes as in `scan_forward`; `dlast_state` is `(b, n, g, d)` or None. Without
    `ddelta` it takes the place of `delta`, of which each step is read by one program
    and before it is written, unless chunks run side by side.

    Returns:
        `ddelta`; the gradients of `A` `(g, d, n)`, of `B` and `C` `(b, g, l, n)`, of
        `D` and `bias` `(g, d)` (None for None), in the dtype of the state.
    """
    (b, g, l, d), n = u.shape, A.shape[-1]
    _check_size(height * width, g * d * n)
    blocks, window = triton.cdiv(d, BLOCK), window_steps(n)
    interval = _checked(interval)
    programs, parts, dstates = b * g * blocks, b, _contiguous(dlast_state)
    delta_sequences, A = _sequences(delta), _by_state(A)
    BC = _matrices(states.dtype, B, C)
    D, bias = map(_contiguous, (D, bias))
    size = _pack(routes), height, width, g, d
    constants = dict(
        N=n,
        PACKED=not routes and _packed(window, dy, u, delta, du, ddelta),
        SOFTPLUS=softplus,
        INTERVAL=interval,
        WINDOW=window,
        WORK=work_type(u),
    )
    chunked = in_chunks(programs, l, u.device)
    if ddelta is None:
        ddelta = torch.empty_like(delta) if chunked else delta
    with torch.cuda.device_of(u):
        if chunked:
            parts, programs = b * states.shape[2], programs * states.shape[2]
            dstates = torch.empty_like(states)
            sums = states.new_empty(b, g, states.shape[2], d)
            tensors = _sequences(dy), delta_sequences, A, BC, bias, dstates, sums
            _launch(adjoint_kernel, programs, *tensors, *size, **constants)
            _chain(dstates, sums, _contiguous(dlast_state), A, backward=True)
        dA = states.new_empty(parts, g, n, d)
        dBC = states.new_empty(b, g, blocks, l, 2 * n)
        dD, dbias = (
            None if t is None else states.new_empty(parts, g, d) for t in (D, bias)
        )
        scratch = states.new_empty(programs, interval // window, n, BLOCK)
        _launch(
            backward_kernel,
            programs,
            *(_sequences(dy), dstates, _sequences(u), delta_sequences, A, BC, D, bias),
            *(states, scratch, *map(_sequences, (du, ddelta)), dA, dBC, dD, dbias),
            *size,
            TURNS=lane_turns(n),
            CHUNKED=chunked,
            **constants,
        )
    dD, dbias = (None if t is None else t.sum(0) for t in (dD, dbias))
    return ddelta, dA.sum(0).mT.contiguous(), *dBC.sum(2).split(n, dim=-1), dD, dbias


def in_chunks(programs: int, steps: int, device: torch.device) -> bool:
    """Return whether chunks of the steps run side by side.

    That takes each exponential twice, and pays where whole sequences, a warp each,
    would leave most of the GPU idle: fewer than one for each of its schedulers.
    """
    return (
        device.type == 'cuda' and steps > 2 * CHUNK and programs < resident(device) / 2
    )


def resident(device: torch.device) -> float:
    """Return how many programs run at once: their registers let two share a scheduler.

    Elsewhere than on a GPU they run one after another, however many there are.
    """
    if device.type != 'cuda':
        return math.inf
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return 2 * SCHEDULERS * processors


def _chain(
    states: Tensor, sums: Tensor, first: Tensor | None, A: Tensor, *, backward: bool
) -> None:
    b, g, chunks, n, d = states.shape
    programs = b * g * triton.cdiv(d, BLOCK)
    tensors = states, sums, first, A
    constants = dict(N=n, BACKWARD=backward, WORK=work_type(states))
    _launch(chain_kernel, programs, *tensors, chunks, g, d, **constants)


def _launch(kernel, programs: int, *args, **constants) -> None:
    """Run a kernel on a flat grid; an empty batch launches nothing."""
    if programs:
        kernel[(programs,)](*args, **constants, num_warps=1)


def _sequences(x: Tensor) -> Sequences:
    b, g, l, d = x.stride()
    return Sequences(x, b, g, l * x.element_size(), d)


def _packed(window: int, *tensors: Tensor) -> bool:
    """Return whether windows of steps are aligned neighbours in all of the tensors."""
    return all(
        x.shape[2] % window == 0
        and x.stride(2) == 1
        and x.data_ptr() % 8 == 0
        and all(x.stride(axis) % window == 0 for axis in (0, 1, 3))
        for x in tensors
    )


def _by_state(parameter: Tensor) -> Tensor:
    """Bring `(g, d, n)` to `(g, n, d)`, so that neighbouring lanes read neighbours."""
    return parameter.mT.contiguous()


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _matrices(dtype: torch.dtype, *tensors: Tensor) -> Tensor:
    """Return B, C and dt side by side, `(b, g, l, 2 n + r)`: rows for wide loads."""
    return torch.cat([x.to(dtype) for x in tensors], dim=-1)


def window_steps(n: int) -> int:
    """Return the steps of a window backward: what the registers hold of `n` states."""
    return 2 if n <= 20 else 1


def lane_turns(n: int) -> int:
    """Return in how many orders lanes keep `n` states: fours of them, turned by XOR."""
    return math.gcd(n // 4, 8) if n % 4 == 0 else 1


def _checked(interval: int) -> int:
    if interval <= 0 or interval % 4:
        raise ValueError(
            f'interval must be a positive multiple of 4 (the steps of a window), '
            f'got {interval}'
        )
    return interval


def _check_size(steps: int, numbers: int) -> None:
    for name, count in (('steps', steps), ('channels times states', numbers)):
        if count > MOST:
            raise ValueError(f'the GPU kernels take at most 2^30 {name}, got {count}')


def _pack(routes: Sequence[int] | None) -> int | None:
    """Return the routes of all scans as one integer, two bits each."""
    if routes is None:
        return None
    if len(routes) > MAX_ROUTES:
        raise ValueError(
            f'the GPU kernels take at most {MAX_ROUTES} routes, got {len(routes)}'
        )
    return sum(int(route) << 2 * k for k, route in enumerate(routes))
