"""Networks as ONNX files of standard operators: same results at any size, and facts."""

import logging

import pytest
import torch
from torch import nn

from mmmambamixer import TSM2, ViM2

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')

from mmmambamixer.export.check import (  # noqa: E402
    FLOAT16,
    FLOAT32,
    Difference,
    differences,
    open_session,
)
from mmmambamixer.export.job import OPEN  # noqa: E402
from mmmambamixer.export.networks import GridPool, network_of  # noqa: E402
from mmmambamixer.export.onnx_file import write_onnx  # noqa: E402
from mmmambamixer.export.selection import with_selection  # noqa: E402
from mmmambamixer.export.trained import halved  # noqa: E402

EXAMPLE = dict(batch=2, height=40, width=56)
RUNS = [
    dict(batch=1, height=37, width=53),
    dict(batch=4, height=8, width=16),
    dict(batch=3, height=1, width=1),
]


@pytest.fixture(autouse=True)
def quiet():
    """torch traces what it does; captured, that is megabytes."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def small_vim2(**options):
    arch = dict(embed_dims=(8, 16), depths=(2, 1))
    sizes = dict(d_state=4, grid_size=3, out_indices=(0, 1))
    return ViM2(arch=arch, **{**sizes, **options}).eval()


def small_tsm2(**options):
    sizes = dict(look_back=24, horizon=6, variates=3, patch_len=6, stride=6, d_model=8)
    model = TSM2(**sizes, d_state=4, **options).eval()
    nn.init.normal_(model.head.weight)  # it starts at 0
    return model


def write(network, path, *, closed=False, **metadata):
    options = dict(sizes=EXAMPLE, open_axes=OPEN, opset=18, closed=closed)
    return write_onnx(network, path, metadata=metadata, **options)


def test_a_backbone_at_sizes_that_it_was_not_exported_with(tmp_path):
    model = small_vim2()
    network, path = network_of(model), tmp_path / 'x.onnx'
    nodes = write(network, path, colour='blue')
    for one in differences(network, path, RUNS, FLOAT32):
        assert one.excess <= 1, str(one)

    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    assert {(o.domain, o.version) for o in proto.opset_import} == {('', 18)}
    assert not proto.functions
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds.count('Scan') == sum(model.num_mixers)
    assert nodes < 130 * sum(model.num_mixers)
    weights = sum(p.numel() * 4 for p in model.parameters())
    assert path.stat().st_size < weights + 200e3
    assert open_session(path).get_modelmeta().custom_metadata_map == dict(colour='blue')


def test_delta_beside_the_maps_in_half_precision_too(tmp_path):
    model, path = small_vim2(out_indices=(1,)), tmp_path / 'x.onnx'
    network = with_selection(network_of(model), model)
    assert network.outputs == ('map0', 'delta_1_1', 'delta_1_2', 'delta_2_1')
    for one, limits in ((network, FLOAT32), (halved(network), FLOAT16)):
        write(one, path)
        for difference in differences(network, path, RUNS[:2], limits):
            assert difference.excess <= 1, str(difference)
            assert limits is FLOAT32 or difference.value > 1e-6, 'it is not halved'


@pytest.mark.parametrize(
    'options',
    [
        dict(linear_path=dict(maps='variate'), sign_flip=True, mirror=True),
        dict(quantiles=[0.1, 0.5], future_covariates=2, static_features=1),
    ],
)
def test_a_forecaster_in_batches(tmp_path, options):
    network, path = network_of(small_tsm2(**options)), tmp_path / 'x.onnx'
    write(network, path, closed='quantiles' in options)
    bodies = [n.attribute for n in onnx.load(path).graph.node if n.op_type == 'Scan']
    inputs = [len(a.g.input) for body in bodies for a in body if a.name == 'body']
    assert set(inputs) == {6 if 'quantiles' in options else 5}  # with A, or around it
    for one in differences(network, path, RUNS, FLOAT32):
        assert one.excess <= 1, str(one)


def test_a_result_that_is_no_number_is_beyond_every_limit():
    given = Difference(sizes={}, output='map0', value=float('nan'), allowed=1e-5)
    assert given.excess > 1


def test_adaptive_pooling_as_products_is_that_of_torch():
    x = torch.randn(2, 3, 11, 5)
    expected = nn.AdaptiveAvgPool2d(3)(x)
    torch.testing.assert_close(GridPool(3)(x), expected)


def test_what_is_none_of_ours_is_refused_by_name():
    with pytest.raises(ValueError, match='a ReLU cannot be exported: expected a class'):
        network_of(nn.ReLU())
    swin = nn.Conv2d(3, 8, 4)
    with pytest.raises(ValueError, match='token mixers, and this Conv2d has none: lea'):
        with_selection(network_of(swin), swin)
