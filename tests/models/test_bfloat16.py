"""Networks in bfloat16, by autocast and by `bfloat16()`: near those in fp32."""

import pytest
import torch

from mmmambamixer import TSM2, ViM2


def vim2() -> ViM2:
    arch = dict(embed_dims=(16, 16, 32, 32), depths=(2, 2, 2, 2))
    return ViM2(arch=arch, out_indices=(0, 3), grid_size=2)


def tsm2() -> TSM2:
    model = TSM2(look_back=64, horizon=24, variates=3)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model


@pytest.mark.parametrize(
    ('make', 'shape'), [(vim2, (2, 3, 64, 96)), (tsm2, (2, 64, 3))]
)
def test_inference(make, shape):
    torch.manual_seed(4)
    model, x = make().eval(), torch.randn(shape)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            mixed = model(x)
        found = (mixed, model.bfloat16()(x.bfloat16()))
    for other in found:
        pairs = zip(exact, other, strict=True)
        for a, b in pairs:
            assert 0 < (b.float() - a).norm() / a.norm() < 0.03
