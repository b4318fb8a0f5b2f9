"""The norm behind the scans of a mixer."""

from torch import Tensor, nn

from mmmambamixer.ops import gated_norm


class ScanNorm(nn.LayerNorm):
    """LayerNorm times the SiLU of a gate: twice `(b, l, e)` -> `(b, l, e)`.

    It computes in fp32 at least, as what comes from a scan: in a model of 16 bits the
    sum of several scans leaves the range of fp16. The result has the gate's dtype.
    """

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return gated_norm(x, gate, self.weight, self.bias, self.eps)
