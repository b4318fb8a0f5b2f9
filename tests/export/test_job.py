"""The whole way from config and checkpoint to a file, and what may go wrong on it."""

import json
import logging
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from PIL import Image

import mmmambamixer.patches  # noqa: F401
from mmmambamixer import TSM2
from mmmambamixer.analysis import record_selections
from mmmambamixer.export import job, onnx_file
from mmmambamixer.export.check import Limits
from mmmambamixer.export.job import Options, export
from mmmambamixer.export.networks import network_of
from mmmambamixer.export.preprocessing import Pictures, Resize, input_size, resize_of
from mmmambamixer.export.resample import resample
from mmmambamixer.export.trained import load_network
from mmmambamixer.ops import CROSS

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'onnx_predict.py'
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(24, 16), interpolation='bicubic'),
    dict(type='PackInputs'),
]


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Config and checkpoint of a small classifier with classes of its own."""
    pytest.importorskip('mmpretrain')
    config = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='mmmambamixer.ViM2',
                    arch=dict(embed_dims=(8,), depths=(2,)),
                    out_indices=(0,),
                    d_state=4,
                    grid_size=3,
                ),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
                data_preprocessor=dict(
                    mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], to_rgb=True
                ),
            ),
            test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=PIPELINE)),
        )
    )
    from mmmambamixer.engine.build import build_model

    torch.manual_seed(1)
    state = build_model(config.copy()).state_dict()
    path = tmp_path_factory.mktemp('classifier') / 'x.pth'
    meta = dict(dataset_meta=dict(classes=['ant', 'bee', 'cat']))
    torch.save(dict(state_dict=state, meta=meta), path)
    return config, str(path)


@pytest.fixture(scope='module')
def exported(classifier, tmp_path_factory):
    for package in onnx_file.NEEDED:
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp('exported') / 'x.onnx'
    options = Options(dynamic=True, prepared=True, selection=True)
    return out, export(classifier[0].copy(), classifier[1], out, options)


def test_a_classifier_that_takes_pictures(classifier, exported):
    import onnxruntime

    from mmmambamixer.inference.model import load_model

    out, lines = exported
    assert lines[1] == 'input image: uint8 (batch, height, width, 3)'
    assert 'largest difference to torch in 3 runs' in lines[-1]
    session = onnxruntime.InferenceSession(out)
    facts = session.get_modelmeta().custom_metadata_map
    assert facts['task'] == 'classification'
    assert json.loads(facts['classes']) == ['ant', 'bee', 'cat']
    assert json.loads(facts['mean']) == [100.0, 110.0, 120.0]
    assert json.loads(facts['input_size']) == [16, 24]
    assert len(facts['config_sha256']) == 64

    # as the framework prepares them: BGR, which the data preprocessor turns
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    model = load_model(classifier[0].copy(), classifier[1], 'cpu')
    bgr = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)
    data = model.data_preprocessor(dict(inputs=bgr[None]))
    with torch.no_grad():
        truth = [
            model(data['inputs'], mode='tensor').softmax(-1),
            *(s.delta for s in record_selections(model.backbone, data['inputs'])[:2]),
        ]
    assert json.loads(facts['selection']) == {
        name: [route.name.lower() for route in CROSS]
        for name in ('delta_1_1', 'delta_1_2')
    }
    outputs = session.run(
        ['scores', 'delta_1_1', 'delta_1_2'], dict(image=picture[None])
    )
    assert outputs[1].shape == (1, 4, 4, 6)
    for output, expected in zip(outputs, truth, strict=True):
        np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5)


def test_the_example_predicts_without_the_package(
    exported, tmp_path, monkeypatch, capsys
):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        Image.new('RGB', (30, 20), 'red').save(tmp_path / name / 'x.png')
    pictures = [str(tmp_path / name / 'x.png') for name in ('a', 'b')]
    argv = ['x', str(exported[0]), *pictures, '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(str(EXAMPLE), run_name='__main__')
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert told[0].split()[1] in ('ant', 'bee', 'cat')
    assert len(list((tmp_path / 'out').iterdir())) == 2


def test_a_file_that_differs_is_not_left(classifier, exported, tmp_path, monkeypatch):
    def copy(network, path, **_):
        path.write_bytes(exported[0].read_bytes())
        return 1

    monkeypatch.setattr(job, 'write_onnx', copy)
    monkeypatch.setattr(job, 'FLOAT32', Limits(values=1e-12, labels=0))
    options = Options(dynamic=True, prepared=True, selection=True)
    with pytest.raises(RuntimeError, match=r"in '\w+' at .*nothing was written"):
        export(classifier[0].copy(), classifier[1], tmp_path / 'y.onnx', options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'options', 'told'),
    [
        ('x.onnx', Options(opset=17), 'opset must be from 18, .*; got 17'),
        ('x.onnx', Options(opset=999), 'got 999'),
        ('x.pt', Options(), 'must end in .onnx, got .*x.pt'),
        ('none/x.onnx', Options(), 'there is no folder .*none for x.onnx'),
        ('folder.onnx', Options(), 'expected a file to write, got the folder'),
    ],
)
def test_options_that_do_not_fit_are_told_at_once(tmp_path, name, options, told):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    (tmp_path / 'folder.onnx').mkdir()
    with pytest.raises((ValueError, OSError), match=told):
        export(Config(), 'none.pth', tmp_path / name, options)


def test_a_scope_that_is_no_package_is_told(classifier):
    config, checkpoint = classifier
    config = Config(config.to_dict() | dict(default_scope='nothing'))
    with pytest.raises(ValueError, match="an installed package, got 'nothing'"):
        load_network(config, checkpoint, prepared=False)


def test_a_missing_package_is_named(monkeypatch):
    found = {'onnx': object()}
    monkeypatch.setattr(onnx_file, 'find_spec', found.get)
    with pytest.raises(RuntimeError, match='pip install onnxscript onnxruntime'):
        export(Config(), 'none.pth', Path('x.onnx'), Options())


def test_a_forecaster_takes_no_size_of_images():
    model = TSM2(look_back=24, horizon=6, variates=3, patch_len=6, stride=6)
    with pytest.raises(ValueError, match='reads 24 rows of 3 variates: leave it out'):
        job._shape(network_of(model), Options(shape=(32, 32)))


@pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('antialias', [False, True])
def test_resizing_by_products_is_that_of_torch(mode, antialias):
    for height, width in ((37, 53), (8, 200), (1, 2)):
        x = torch.randint(256, (1, 3, height, width)).float()
        expected = F.interpolate(x, (24, 32), mode=mode, antialias=antialias)
        found = resample(x, (24, 32), mode=mode, antialias=antialias)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_a_forecaster_has_no_selection_of_images():
    config = Config(dict(default_scope='mmmambamixer'))
    with pytest.raises(ValueError, match=r'with-selection is for images.*leave'):
        load_network(config, 'none.pth', prepared=False, selection=True)


def test_a_pipeline_that_does_not_fit_into_a_file_is_named():
    steps = [dict(type='Resize', scale=9, keep_ratio=True), dict(type='mm.Pad')]
    with pytest.raises(ValueError, match='this one has Resize, Pad'):
        resize_of(steps)
    assert input_size(PIPELINE) == (16, 24)


def test_a_short_edge_and_a_central_crop_are_one_resize_of_a_central_square():
    steps = [
        dict(type='ResizeEdge', scale=32, edge='short', backend='pillow'),
        dict(type='CenterCrop', crop_size=24),
    ]
    resize = resize_of(steps)
    assert resize == Resize((24, 24), (24, 32), 'bilinear', True)
    prepare = Pictures(mean=[0.0], std=[1.0], reads_rgb=True, resize=resize)
    picture = Image.radial_gradient('L').convert('RGB').resize((96, 64))
    short = picture.resize((48, 32), Image.BILINEAR)
    truth = np.asarray(short.crop((12, 4, 36, 28)), np.float32)
    found = prepare(torch.from_numpy(np.array(picture))[None])[0].permute(1, 2, 0)
    assert np.abs(found.numpy() - truth).mean() < 2
