"""Our ops in standard ONNX operators, one function each, for `torch.onnx.export`.

A scan becomes one ONNX `Scan` whose state is `(b, g, n, d)`: the features lie
innermost, so that every operator of a step runs along memory. Routes are gathers whose
indices the graph computes, so that batch, height and width may stay unknown.

Axis letters: b batch, g scan, d feature, n state, l step or position, r rank, t tap.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir
import torch
from onnxscript import FLOAT, graph, script
from onnxscript import opset18 as op

from mmmambamixer.ops import Route


@script(default_opset=op)
def recurrence(
    state: FLOAT, A: FLOAT, delta: FLOAT, x: FLOAT, B: FLOAT, C: FLOAT
) -> tuple[FLOAT, FLOAT]:
    """Run `h = exp(delta A) h + B x`, `y = C h` along the first axis.

    `(b, g, n, d)`, `(g, n, d)`, twice `(l, b, g, 1, d)`, `(l, b, g, n, 1)`,
    `(l, b, g, 1, n)` -> the last state and y, `(l, b, g, 1, d)`.
    """

    @graph()
    def step(h, delta_t, x_t, B_t, C_t):
        next_h = op.Exp(delta_t * A) * h + B_t * x_t
        y_t = op.MatMul(C_t, next_h)
        return next_h, y_t

    last_state, y = op.Scan(state, delta, x, B, C, body=step, num_scan_inputs=4)
    return last_state, y


def selective_scan(
    u, delta, A, B, C, D, delta_bias, delta_softplus: bool, dtype: int, interval: int
):
    """Translate `mmmambamixer::selective_scan`."""
    work = state_dtype(u)
    u, delta, B, C = (cast(x, work) for x in (u, delta, B, C))
    if delta_bias is not None:
        delta = op.Add(delta, op.Unsqueeze(delta_bias, [1]))
    if delta_softplus:
        delta = softplus(delta)
    g, n, l = size(B, 1), size(A, 1), size(u, 2)

    def over_steps(x, axis: int):  # (b, g, m, l) -> (l, b, g, m, 1) or (l, b, g, 1, m)
        return op.Unsqueeze(op.Transpose(x, perm=[3, 0, 1, 2]), [axis])

    groups = shape(0, g, -1, l)  # (b, d, l) -> (b, g, d of a group, l)
    delta, x = (op.Reshape(x, groups) for x in (delta, op.Mul(delta, u)))
    last_state, y = recurrence(
        zeros(work, size(u, 0), g, n, size(x, 2)),
        op.Transpose(op.Reshape(A, shape(g, -1, n)), perm=[0, 2, 1]),
        over_steps(delta, 3),
        over_steps(x, 3),
        over_steps(B, 4),
        over_steps(C, 3),
    )
    y = op.Transpose(op.Squeeze(y, [3]), perm=[1, 2, 3, 0])  # (b, g, d, l)
    y = op.Reshape(y, op.Shape(u))
    if D is not None:
        y = op.Add(y, op.Mul(u, op.Unsqueeze(D, [1])))
    last_state = op.Transpose(last_state, perm=[0, 1, 3, 2])
    last_state = op.Reshape(last_state, shape(0, size(A, 0), n))  # (b, d, n)
    y = back(y, work, ir.DataType(dtype))
    return y, last_state, op.Identity(last_state)


def cross_selective_scan(
    u,
    dt,
    dt_weight,
    A,
    B,
    C,
    D,
    dt_bias,
    routes: Sequence[int],
    height,
    width,
    interval: int,
):
    """Translate `mmmambamixer::cross_selective_scan`."""
    work, shared = state_dtype(u), u.shape[1] == 1
    u, dt, B, C = (cast(x, work) for x in (u, dt, B, C))
    delta = op.MatMul(dt, op.Transpose(dt_weight, perm=[0, 2, 1]))  # (b, g, l, d)
    if dt_bias is not None:
        delta = op.Add(delta, op.Unsqueeze(dt_bias, [1]))
    delta = softplus(delta)
    g = op.Constant(value_ints=[len(routes)])
    scans = op.Constant(value_ints=list(range(len(routes))))
    visits = op.Transpose(orders(routes, height, width))  # (l, g)
    visits = op.Add(visits, op.Mul(scans, op.Mul(height, width)))

    def over_steps(x, *sizes):  # (b, g, l, m) -> (l, b, g, *sizes), m and a 1
        rows = op.Reshape(x, shape(0, -1, *sizes))  # (b, g l, *sizes)
        steps = op.Gather(rows, visits, axis=1)  # (b, l, g, *sizes)
        return op.Transpose(steps, perm=[1, 0, 2, 3, 4])

    d, n = size(A, 1), size(A, 2)
    _, y = recurrence(
        zeros(work, size(dt, 0), g, n, d),
        op.Transpose(A, perm=[0, 2, 1]),
        over_steps(delta, 1, d),
        over_steps(op.Mul(delta, u), 1, d),
        over_steps(B, n, 1),
        over_steps(C, 1, n),
    )
    y = op.Transpose(op.Squeeze(y, [3]), perm=[1, 0, 2, 3])  # (b, l, g, d)
    y = op.Reshape(y, shape(0, -1, d))  # (b, l g, d)
    steps = orders(routes, width, height)  # (g, l), the step at which a scan is there
    steps = op.Add(op.Mul(steps, g), op.Unsqueeze(scans, [1]))
    y = op.ReduceSum(op.Gather(y, steps, axis=1), [1], keepdims=0)  # (b, l, d)
    if D is not None:
        if shared:  # it goes past all scans at once
            D = op.ReduceSum(D, [0])
        skip = op.Mul(u, op.Unsqueeze(D, [1]))  # (b, g, l, d) or (b, 1, l, d)
        y = op.Add(y, op.ReduceSum(skip, [1], keepdims=0))
    return y, op.Identity(y)


def scan_conv(v, weight, bias, routes: Sequence[int], silu: bool):
    """Translate `mmmambamixer::scan_conv`."""
    kept, rank, taps = v.dtype, len(weight.shape), weight.shape[1]
    work = kept if rank == 2 else state_dtype(v)
    reach = taps - 1
    filters = centred_taps(cast(weight, work), routes, taps, rank)
    bias = cast(bias, work)
    if rank == 2:  # (g, 2t - 1), along the rows of an image
        filters = op.Unsqueeze(filters, [1, 3])
        pads = [reach, 0, reach, 0]
        y = op.Conv(op.Unsqueeze(v, [1]), filters, bias, pads=pads)
        return activated(y, silu)
    g, d = len(routes), weight.shape[2]  # (g, 2t - 1, d)
    filters = op.Reshape(op.Transpose(filters, perm=[2, 0, 1]), shape(d * g, 1, -1))
    bias = op.Reshape(op.Transpose(bias), shape(-1))
    v = op.Transpose(cast(v, work), perm=[0, 2, 1])  # (b, d, l)
    y = op.Conv(v, filters, bias, group=d, pads=[reach, reach])  # (b, d g, l)
    y = op.Transpose(op.Reshape(y, shape(0, d, g, -1)), perm=[0, 2, 3, 1])
    return back(activated(y, silu), work, kept)


def gated_norm(x, z, weight, bias, eps: float):
    """Translate `mmmambamixer::gated_norm`."""
    gate = cast(z, x.dtype)
    y, _, _ = op.LayerNormalization(x, weight, bias, axis=-1, epsilon=eps)
    return back(op.Mul(y, activated(gate, True)), x.dtype, z.dtype)


def weighted_sum(tensors: Sequence, weights):
    """Translate `mmmambamixer::weighted_sum`."""
    kept, work = tensors[0].dtype, state_dtype(tensors[0])
    parts = [
        op.Mul(cast(x, work), op.Gather(weights, [i])) for i, x in enumerate(tensors)
    ]
    return back(op.Sum(*parts), work, kept)


def activated(y, silu: bool):
    """Return y, or its SiLU."""
    return op.Mul(y, op.Sigmoid(y)) if silu else y


def softplus(x):
    """Return `max(x, 0) + log(1 + exp(-abs x))`, to the last digits where x << 0.

    What rounding takes from `1 + e` is given back. ONNX's own Softplus leaves open how
    exact it is, and is slower in onnxruntime.
    """
    e = op.Exp(op.Neg(op.Abs(x)))
    one = op.CastLike(1.0, x)
    w = op.Add(e, one)
    log = op.Sub(op.Log(w), op.Sub(op.Sub(w, one), e))
    return op.Add(op.Relu(x), log)


def orders(routes: Sequence[int], first, second):
    """Return where each scan is at each step of a `first x second` map, `(g, l)`.

    With the sizes exchanged it is the inverse: the step at which a scan is there.
    """
    length = op.Mul(first, second)
    rows = op.Range(0, length, 1)
    places = []
    for route in map(Route, routes):
        place = rows
        if route in (Route.COLUMNS, Route.COLUMNS_BACKWARD):
            place = op.Reshape(rows, shape(flat(first), flat(second)))
            place = op.Reshape(op.Transpose(place), shape(-1))
        if route >= Route.ROWS_BACKWARD:
            place = op.Sub(op.Sub(length, 1), place)
        places.append(op.Unsqueeze(place, [0]))
    return op.Concat(*places, axis=0)


def centred_taps(weight, routes: Sequence[int], taps: int, rank: int):
    """Return the filters as they lie on the sequence: `(g, t)` -> `(g, 2t - 1)`."""
    before, none = [0, taps - 1, 0][:rank], [0] * rank
    filters = []
    for k, route in enumerate(routes):
        own = op.Slice(weight, [k], [k + 1], [0])
        if route >= Route.ROWS_BACKWARD:
            own = op.Slice(own, [-1], [-taps - 1], [1], [-1])
            filters.append(op.Pad(own, before + none))
        else:
            filters.append(op.Pad(own, none + before))
    return op.Concat(*filters, axis=0)


def state_dtype(u) -> ir.DataType:
    """Return the dtype of the state: fp64 for fp64, else fp32."""
    return u.dtype if u.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT


def cast(x, dtype: ir.DataType):
    """Return an input, whose dtype is known, in another one."""
    return x if x.dtype == dtype else op.Cast(x, to=dtype)


def back(x, work: ir.DataType, dtype: ir.DataType):
    """Return a result that was computed in `work` in another dtype."""
    return x if work == dtype else op.Cast(x, to=dtype)


def zeros(dtype: ir.DataType, *sizes):
    zero = op.Constant(value=ir.tensor([0], dtype=dtype))
    return op.Expand(zero, shape(*sizes))


def size(x, axis: int):
    """Return the size of an axis, `(1,)`."""
    return op.Shape(x, start=axis, end=axis + 1)


def flat(number):
    """Return a size that is a number or a scalar as `(1,)`."""
    return op.Reshape(number, [-1])


def shape(*sizes):
    """Return a shape of sizes that are numbers or `(1,)`."""
    if all(isinstance(s, int) for s in sizes):
        return op.Constant(value_ints=sizes)
    parts = (op.Constant(value_ints=[s]) if isinstance(s, int) else s for s in sizes)
    return op.Concat(*parts, axis=0)


TRANSLATIONS: dict[Callable, Callable] = {
    torch.ops.mmmambamixer.selective_scan.default: selective_scan,
    torch.ops.mmmambamixer.cross_selective_scan.default: cross_selective_scan,
    torch.ops.mmmambamixer.scan_conv.default: scan_conv,
    torch.ops.mmmambamixer.gated_norm.default: gated_norm,
    torch.ops.mmmambamixer.weighted_sum.default: weighted_sum,
}
