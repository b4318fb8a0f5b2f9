"""FLOPs of our ops in MMEngine's analyser."""

import torch
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from torch import nn

from mmmambamixer import ViM2
from mmmambamixer.models.layers import S6
from mmmambamixer.ops import CROSS, selective_scan


class Scan(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.A = nn.Parameter(-torch.rand(d, n))

    def forward(self, u):
        B = u.new_ones(len(u), self.A.shape[1], u.shape[-1])
        return selective_scan(u, u, self.A, B, B)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.s6 = S6(d_inner=8, d_state=3, dt_rank=2, routes=CROSS)

    def forward(self, u):
        return self.s6(u, height=2, width=5)


def test_a_selective_scan_counts_9_b_l_d_n_plus_b_l_d():
    flops = FlopAnalyzer(Scan(4, 3), torch.randn(2, 4, 7)).by_operator()
    assert flops['selective_scan'] == 9 * 2 * 7 * 4 * 3 + 2 * 7 * 4


def test_a_cross_selective_scan_counts_four_scans_and_their_delta():
    b, l, d, n, r = 2, 10, 8, 3, 2
    flops = FlopAnalyzer(Tokens(), torch.randn(b, l, d)).by_operator()
    scans = 4 * (9 * b * l * d * n + b * l * d + b * l * d * r)
    assert flops['cross_selective_scan'] == scans
    assert flops['linear'] == b * l * d * 4 * (r + 2 * n)


def test_the_whole_network_counts_its_scans():
    model = ViM2(arch=dict(embed_dims=(8,), depths=(2,)), d_state=2, out_indices=(0,))
    info = get_model_complexity_info(model.eval(), (3, 12, 8))
    analyzer = FlopAnalyzer(model, torch.randn(1, 3, 12, 8))
    by_operator = analyzer.by_operator()
    l, e = 3 * 2, 16
    token = 4 * l * e * (9 * 2 + 1 + 1)  # rank ceil(8 / 16) = 1
    channel = 4 * 8 * l * (9 * 2 + 1 + 4)  # rank ceil(49 / 16) = 4
    assert by_operator['cross_selective_scan'] == 2 * token + channel
    assert by_operator['scan_conv'] == 4 * 4 * 8 * l  # scans, taps
    assert by_operator['weighted_sum'] == (1 + 2 + 3) * l * 8
    assert info['flops'] == analyzer.total()
    assert not [op for op in analyzer.unsupported_ops() if 'mmmambamixer' in op]
