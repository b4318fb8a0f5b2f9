"""FLOPs of our ops for MMEngine's analyser, which counts unknown ops as nothing.

Like the analyser, one multiply-add counts as one. A scan counts as in VMamba,
9 b l d n + b l d; the cross selective scan also holds the projection of delta from its
rank r, b l d r for each scan, which elsewhere is a linear layer of its own.
"""

import math

from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_handles import get_shape


def scan_flops(b: int, l: int, d: int, n: int) -> int:
    """Return the FLOPs of one selective scan of d channels over l positions."""
    return 9 * b * l * d * n + b * l * d


def selective_scan_flops(inputs: list, outputs: list) -> float:
    """Count `selective_scan(u, delta, A, ...)`: u `(b, d, l)`, A `(d, n)`."""
    b, d, l = get_shape(inputs[0])
    return float(scan_flops(b, l, d, get_shape(inputs[2])[-1]))


def cross_selective_scan_flops(inputs: list, outputs: list) -> float:
    """Count `cross_selective_scan(u, dt, dt_weight, A, ...)`: dt `(b, g, l, r)`."""
    b, g, l, r = get_shape(inputs[1])
    d, n = get_shape(inputs[3])[1:]
    return float(g * (scan_flops(b, l, d, n) + b * l * d * r))


def weighted_sum_flops(inputs: list, outputs: list) -> float:
    """Count `weighted_sum(tensors, weights)`: one multiply-add for each value read."""
    return float(get_shape(inputs[1])[0] * math.prod(get_shape(outputs[0])))


def scan_conv_flops(inputs: list, outputs: list) -> float:
    """Count `scan_conv(v, weight, ...)`: one multiply-add for each tap and output.

    The filters `(g, t)` and `(g, t, d)` count alike.
    """
    return float(get_shape(inputs[1])[1] * math.prod(get_shape(outputs[0])))


def gated_norm_flops(inputs: list, outputs: list) -> float:
    """Count `gated_norm(x, ...)` as the analyser a LayerNorm: 5 for each value.

    The gate is free, as its SiLU and product are elsewhere.
    """
    return float(5 * math.prod(get_shape(inputs[0])))


HANDLERS = {
    'mmmambamixer::selective_scan': selective_scan_flops,
    'mmmambamixer::cross_selective_scan': cross_selective_scan_flops,
    'mmmambamixer::scan_conv': scan_conv_flops,
    'mmmambamixer::gated_norm': gated_norm_flops,
    'mmmambamixer::weighted_sum': weighted_sum_flops,
}
complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS.update(HANDLERS)
