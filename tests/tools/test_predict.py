"""`tools/predict.py` on detectors and segmenters: files, pictures, odd images."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

from mmmambamixer.inference.images import find_images, read_picture, result_names
from mmmambamixer.inference.model import dataset_meta, make_palette
from mmmambamixer.inference.sheet import spread


@pytest.fixture
def pictures(scenes, tmp_path) -> Path:
    """Images of many kinds, and two of one name in sub-folders."""
    folder = tmp_path / 'pictures'
    for name in ('a', 'b'):
        (folder / name).mkdir(parents=True)
        shutil.copy(scenes / 'images/0.png', folder / name / 'same.png')
    Image.new('L', (37, 53), 90).save(folder / 'grey.jpg')
    Image.new('RGBA', (90, 20), (200, 10, 10, 40)).save(folder / 'clear.png')
    Image.fromarray(np.full((24, 40), 40000, np.uint16)).save(folder / 'deep.png')
    return folder


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return width and height of the images below a folder, by relative path."""
    found = {}
    for path in sorted(folder.rglob('*.png')):
        with Image.open(path) as image:
            found[str(path.relative_to(folder))] = image.size
    return found


def test_detections_of_any_image(configs, trained, pictures, tmp_path, call):
    pycocotools_mask = pytest.importorskip('pycocotools.mask')
    args = [configs['mmdet'], trained['mmdet'], pictures, '--out', 'out']
    call('predict.py', *args, '--score-threshold', 0, '--batch-size', 2)
    results = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert {r['image_id'] for r in results} == set(range(5))
    for result in results:
        with Image.open(result['image']) as image:
            width, height = image.size
        x, y, w, h = result['bbox']
        assert x >= 0 and y >= 0 and x + w <= width + 1e-3 and y + h <= height + 1e-3
        assert result['category'] == ('square', 'stripe')[result['category_id']]
        mask = pycocotools_mask.decode(result['segmentation'])
        assert mask.shape == (height, width)
    drawn = sizes(tmp_path / 'out/overlays')
    assert {'a/same.png', 'b/same.png', 'grey.png', 'clear.png'} < drawn.keys()
    assert drawn['clear.png'] == (90 * 9, 20 * 9)  # enlarged, so that names fit
    assert sizes(tmp_path / 'out')['predictions.png'][0] == 1600


def test_the_threshold_is_for_the_pictures_only(configs, trained, scenes, call, capsys):
    args = [configs['mmdet'], trained['mmdet'], scenes / 'images/0.png', '--out', 'out']
    call('predict.py', *args, '--score-threshold', 1)
    told = capsys.readouterr().out
    assert '1 images, 0 objects with score >= 1; the best score is 0.' in told
    assert len(json.loads(Path('out/predictions.json').read_text())) == 5
    option = re.search(r'--score-threshold [\d.]+', told)[0].split()
    call('predict.py', *args, *option)
    assert '1 images, 0 objects' not in capsys.readouterr().out


def test_label_maps_of_any_image(configs, trained, pictures, tmp_path, call):
    args = [configs['mmseg'], trained['mmseg'], pictures, '--out', pictures / 'out']
    call('predict.py', *args)
    out = pictures / 'out'
    results = json.loads((out / 'predictions.json').read_text())
    assert len(results) == 5
    for result in results:
        assert sum(result['shares'].values()) == pytest.approx(1)
        with Image.open(result['image']) as image, Image.open(result['label_map']) as m:
            assert m.size == image.size and m.mode == 'P'
            assert m.getpalette()[3:6] == [220, 20, 60]
            labels = np.array(m)
        for index, name in enumerate(('ground', 'square', 'stripe')):
            share = result['shares'].get(name, 0)
            assert (labels == index).mean() == pytest.approx(share)
    assert sizes(out / 'overlays').keys() == sizes(out / 'label_maps').keys()
    call('predict.py', *args)  # its own pictures are not predicted
    assert len(json.loads((out / 'predictions.json').read_text())) == 5


def test_a_checkpoint_without_classes_takes_those_of_the_config(
    configs, trained, scenes, tmp_path, call
):
    state = torch.load(trained['mmseg'], weights_only=True)['state_dict']
    torch.save(state, tmp_path / 'bare.pth')
    args = [configs['mmseg'], tmp_path / 'bare.pth', scenes / 'images/1.png']
    call('predict.py', *args, '--out', 'out')
    (result,) = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert set(result['shares']) <= {'ground', 'square', 'stripe'}


def test_classes_may_come_from_the_class_of_the_dataset():
    dataset = dict(type='ADE20KDataset', pipeline=[])
    wrapped = dict(type='RepeatDataset', times=2, dataset=dataset)
    config = dict(default_scope='mmseg', test_dataloader=dict(dataset=wrapped))
    meta = dataset_meta(Config(config))
    assert len(meta['classes']) == len(meta['palette']) == 150
    dataset['metainfo'] = dict(classes=('wall',))
    assert dataset_meta(Config(config))['classes'] == ('wall',)


def test_a_checkpoint_of_other_classes_is_refused(configs, trained, tmp_path, call):
    checkpoint = torch.load(trained['mmseg'], weights_only=True)
    checkpoint['meta']['dataset_meta']['classes'] = ['one', 'two']
    torch.save(checkpoint, tmp_path / 'two.pth')
    Image.new('RGB', (9, 9)).save(tmp_path / 'a.png')
    args = [configs['mmseg'], 'two.pth', 'a.png', '--out', 'out']
    with pytest.raises(SystemExit, match=r'two\.pth names 2 classes, .* 3 outputs'):
        call('predict.py', *args)


@pytest.mark.parametrize('framework', ['mmdet', 'mmseg'])
def test_an_unreadable_image_is_named(framework, configs, trained, tmp_path, call):
    (tmp_path / 'bad.png').write_bytes(b'no picture')
    args = [configs[framework], trained[framework], 'bad.png', '--out', 'out']
    with pytest.raises(SystemExit, match=r'^error: bad\.png is not an image that can'):
        call('predict.py', *args)


def test_a_device_that_is_not_there_is_refused(configs, trained, scenes, call):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    args = [configs['mmseg'], trained['mmseg'], scenes / 'images', '--out', 'out']
    with pytest.raises(SystemExit, match='no device cuda:0'):
        call('predict.py', *args, '--device', 'cuda:0')


def test_images_of_one_name_get_results_of_their_own(tmp_path):
    for name in ('x/1.jpg', 'x/1.png', 'y/1.png', 'y/note.txt', 'out/1.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images = find_images(tmp_path, tmp_path / 'out')
    names = result_names(images, tmp_path)
    assert sorted(map(str, names.values())) == ['x/1.jpg.png', 'x/1.png.png', 'y/1.png']
    single = tmp_path / 'x/1.jpg'
    assert result_names([single], single) == {single: Path('1.png')}


def test_pictures_are_read_as_eight_bit_rgb(pictures):
    assert read_picture(pictures / 'grey.jpg').shape == (53, 37, 3)
    assert read_picture(pictures / 'clear.png')[0, 0].tolist() == [200, 10, 10]
    deep = read_picture(pictures / 'deep.png')
    assert deep.dtype == np.uint8 and deep[0, 0].tolist() == [40000 // 256] * 3


def test_the_sheet_shows_images_from_first_to_last():
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread(range(3), 9) == [0, 1, 2]
    assert spread(range(3), 0) == []


@pytest.mark.parametrize('count', [1, 20, 21, 150])
def test_a_palette_has_different_colours(count):
    palette = make_palette(count)
    assert len(set(palette)) == count
    assert all(0 <= part <= 255 for color in palette for part in color)
