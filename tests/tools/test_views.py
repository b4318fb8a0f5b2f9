"""Several views of an image in the test pipeline, and images of several sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmmambamixer.inference.views import wrap

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

VIEWS = """
_base_ = {config!r}
test_dataloader = dict(dataset=dict(pipeline={{{{_base_.tta_pipeline}}}}))
"""


@pytest.fixture
def viewing(configs, tmp_path) -> Path:
    """The segmenter's config, whose test pipeline makes two views."""
    path = tmp_path / 'views.py'
    path.write_text(VIEWS.format(config=str(configs['mmseg'])))
    return path


@pytest.mark.parametrize('batch', [1, 2])
def test_a_segmenter_predicts_from_views(batch, viewing, trained, scenes, call):
    args = [viewing, trained['mmseg'], scenes / 'images', '--out', 'out']
    call('predict.py', *args, '--batch-size', batch)
    results = json.loads(Path('out/predictions.json').read_text())
    assert len(results) == 4
    for item in results:
        with Image.open(item['image']) as image, Image.open(item['label_map']) as m:
            assert m.size == image.size
        assert sum(item['shares'].values()) == pytest.approx(1)


def test_views_change_a_prediction(viewing, configs, trained, scenes, call):
    """What is written is the mean of both views, not the first."""
    maps = []
    for config, name in ((viewing, 'two'), (configs['mmseg'], 'one')):
        args = [config, trained['mmseg'], scenes / 'images/0.png', '--out', name]
        call('predict.py', *args)
        maps.append(np.array(Image.open(Path(name) / 'label_maps/0.png')))
    assert maps[0].shape == maps[1].shape and (maps[0] != maps[1]).any()


def test_views_without_a_model_that_merges_them(viewing, trained, call):
    with pytest.raises(SystemExit, match=r'test_dataloader gives 2 views .* --tta'):
        call('test.py', viewing, trained['mmseg'])
    call('test.py', viewing, trained['mmseg'], '--tta')


def test_one_view_is_drawn(viewing, scenes, call):
    image = scenes / 'images/0.png'
    tool = 'analysis_tools/visualize_selection.py'
    call(tool, viewing, image, '--out', 'drawn', '--only', 'averaging')
    assert Path('drawn/averaging.png').is_file()


@pytest.mark.parametrize('views', [False, True])
def test_images_of_one_batch_have_one_size(
    views, viewing, configs, trained, scenes, call
):
    """Other sizes after the pipeline are told with the files and the option."""
    path, place = (viewing, '1.transforms.0.0') if views else (configs['mmseg'], '1')
    options = [f'test_dataloader.dataset.pipeline.{place}.keep_ratio=True']
    args = [path, trained['mmseg'], scenes / 'images', '--out', 'out', '--cfg-options']
    with pytest.raises(SystemExit, match='--batch-size 1') as end:
        call('predict.py', *args, *options, '--batch-size', 2)
    assert '0.png has height and width (64, 64), ' in str(end.value.code)
    call('predict.py', *args, *options)


def test_label_maps_behind_views_are_counted(configs, trained, scenes, call, tmp_path):
    """Labels that are no class are named before the test, as without views."""
    for i in range(4):
        labels = np.array(Image.open(scenes / f'masks/{i}.png'))
        labels[0, 0] = 9 if i == 2 else labels[0, 0]
        path = tmp_path / f'masks/{i}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(labels).save(path)
    masks = f'test_dataloader.dataset.data_prefix.seg_map_path={tmp_path}/masks'
    args = [configs['mmseg'], trained['mmseg'], '--tta', '--cfg-options', masks]
    with pytest.raises(SystemExit, match=r'masks/2\.png has the labels \[9\]'):
        call('test.py', *args)


def test_a_model_that_merges_views_is_left_alone():
    config = Config(dict(default_scope='mmseg', model=dict(type='SegTTAModel')))
    wrap(config)
    assert config.model == dict(type='SegTTAModel')
    config.model = dict(type='EncoderDecoder')
    wrap(config)
    assert config.model.module == dict(type='EncoderDecoder')
