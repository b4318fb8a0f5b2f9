"""The tool that draws what a ViM2 selects, on configs of the three frameworks."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

pytest.importorskip('matplotlib')
pytest.importorskip('mmpretrain')

from mmmambamixer.analysis.drawing import Source
from mmmambamixer.analysis.drawing.delta import over_mean
from mmmambamixer.engine.config import load_config
from mmmambamixer.inference.pipeline import ImagePipeline

ROOT = Path(__file__).parents[2]
BASE = str(ROOT / 'configs/_base_/mmmambamixer.py')
DEMO = str(ROOT / 'configs/demo/vim2_digits.py')
CLASSIFIER = """
_base_ = {demo!r}
model = dict(
    backbone=dict(
        arch=dict(embed_dims=(8, 16), depths=(1, 2)), d_state=2, {options}
    ),
    head=dict(in_channels=16),
)
"""
BACKBONE = """
    backbone=dict(
        _delete_=True,
        type='mmmambamixer.ViM2',
        arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 2, 1)),
        out_indices=(0, 1, 2, 3),
        d_state=2,
    ),
"""
DETECTOR = f"""
_base_ = [{BASE!r}, 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']
model = dict({BACKBONE} neck=dict(in_channels=[8, 8, 16, 16]))
"""
SEGMENTER = f"""
_base_ = [{BASE!r}, 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py']
model = dict(
    {BACKBONE}
    pretrained=None,
    decode_head=dict(in_channels=[8, 8, 16, 16]),
    auxiliary_head=dict(in_channels=16),
)
"""
ALL = {'delta_tokens', 'delta_channels', 'averaging', 'receptive_field'}


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/analysis_tools/visualize_selection.py'
    spec = importlib.util.spec_from_file_location('tool_visualize_selection', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def look(tool, tmp_path, monkeypatch, capsys):
    """Run the tool on a config text; return what it drew and what it said."""

    def run(text: str, *options: str, image: Path | None = None):
        (tmp_path / 'config.py').write_text(text)
        path = image or tmp_path / 'image.png'
        if image is None:
            pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
            Image.fromarray(pixels).save(path)
        out = tmp_path / 'out'
        arguments = [str(tmp_path / 'config.py'), str(path), '--out', str(out)]
        monkeypatch.setattr(sys, 'argv', ['tool', *arguments, *options])
        tool.main()
        return {png.stem for png in out.glob('*.png')}, capsys.readouterr().out

    return run


def classifier(options: str = '') -> str:
    return CLASSIFIER.format(demo=DEMO, options=options)


def test_a_classifier_with_its_weights(look, tmp_path):
    (tmp_path / 'config.py').write_text(classifier())
    config = load_config(str(tmp_path / 'config.py'))
    init_default_scope(config.default_scope)
    path = tmp_path / 'weights.pth'
    torch.save(MODELS.build(config.model).state_dict(), path)
    drawn, _ = look(classifier(), '--checkpoint', str(path), '--every-mixer')
    assert drawn == ALL


@pytest.mark.parametrize(
    ('framework', 'text'), [('mmdet', DETECTOR), ('mmseg', SEGMENTER)]
)
def test_detectors_and_segmenters(look, framework, text):
    pytest.importorskip(framework)
    assert look(text, '--size', '40', '72')[0] == ALL


@pytest.mark.parametrize(
    ('options', 'lacking'),
    [
        ("channel_mixer='mlp'", {'delta_channels'}),
        ("channel_mixer='none', averaging=False", {'delta_channels', 'averaging'}),
        ('channel_scans=1', set()),
    ],
)
def test_what_an_ablation_lacks_is_said_and_not_drawn(look, options, lacking):
    drawn, said = look(classifier(options))
    assert drawn == ALL - lacking
    for name in lacking:
        assert f'{name} is not drawn: this network has no ' in said


def test_the_input_is_normalised_and_the_picture_is_what_was_read(tool, tmp_path):
    """Also where the config keeps its `data_preprocessor` beside the model."""
    text = 'data_preprocessor = dict(mean=[10, 20, 30], std=[2, 4, 5], to_rgb=True)\n'
    (tmp_path / 'config.py').write_text(classifier() + text)
    config = load_config(str(tmp_path / 'config.py'))
    config.model.pop('data_preprocessor')
    model = tool.load_model(config, None)
    Image.new('RGB', (6, 5), (110, 40, 5)).save(tmp_path / 'plain.png')
    pipeline = ImagePipeline(config, (8, 12))
    image, picture = tool.read_image(model, pipeline, tmp_path / 'plain.png')
    assert picture.shape == (8, 12, 3) and (picture == [110, 40, 5]).all()
    assert image.shape == (3, 8, 12)
    assert image[:, 3, 7].tolist() == [50, 5, -5]


def test_pictures_say_when_weights_are_random():
    assert any('RANDOM WEIGHTS' in line for line in Source('c.py', None).lines())
    lines = Source('c.py', 'w.pth', ['a.png', 'b.png']).lines()
    assert lines == [
        'config c.py',
        'checkpoint w.pth',
        'mean over 2 images, the first is a.png',
    ]


def test_colours_show_percent_from_the_mean_of_each_scan():
    delta = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[5.0, 5.0], [5.0, 25.0]]])
    expected = [[[-50, 50], [0, 0]], [[-50, -50], [-50, 150]]]
    np.testing.assert_allclose(over_mean(delta), expected, atol=1e-4)


def test_wrong_input_ends_in_one_sentence(look, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r'backbone of this config is ResNet'):
        look(f"_base_ = '{ROOT}/configs/eurosat/resnet18_eurosat.py'")
    with pytest.raises(SystemExit, match='no image file at'):
        look(classifier(), image=tmp_path / 'nothing.png')
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(SystemExit, match='is not an image that can be read'):
        look(classifier(), image=tmp_path / 'text.png')
    with pytest.raises(SystemExit):
        look(classifier(), '--size', '0', '5')
    assert '--size: must be an integer from 1, got 0' in capsys.readouterr().err
