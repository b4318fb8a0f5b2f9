"""The norm behind the scans of a mixer."""

import torch.nn.functional as F
from torch import Tensor, nn


class ScanNorm(nn.LayerNorm):
    """LayerNorm that computes in the dtype of its input, fp32 behind a scan.

    In a model of 16 bits the sum of several scans leaves the range of fp16; what is
    normalised fits again.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (p.to(x.dtype) for p in (self.weight, self.bias))
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)
