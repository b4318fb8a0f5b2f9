"""Images of any loader, bands and numbers: read by the config's own pipeline."""

import re
from itertools import product

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from PIL import Image

pytest.importorskip('mmcv')

import mmcv.transforms  # noqa: F401  (registers its loaders)

from mmmambamixer.inference import steps as module
from mmmambamixer.inference.images import find_images
from mmmambamixer.inference.pipeline import ImagePipeline
from mmmambamixer.inference.sheet import thumbnail


@TRANSFORMS.register_module()
class LoadArray:
    """A loader as projects write them for satellites or microscopes."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error

    def __call__(self, results: dict) -> dict | None:
        if self.error == 'nothing':
            return None
        if self.error:
            raise {e.__name__: e for e in ERRORS}[self.error]('no band 7')
        results['img'] = np.load(results['img_path'])
        return results


@TRANSFORMS.register_module()
class PackArray:
    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def __call__(self, results: dict) -> dict:
        if self.fails:
            raise KeyError('gt_boxes')
        return dict(inputs=torch.from_numpy(results['img'].astype(np.float32)))


ERRORS = (ImportError, KeyError, OSError, RuntimeError, ValueError, IndexError)
DTYPES = ('bool', 'uint8', 'uint16', 'int16', 'float32', 'float64')


def pipeline(*steps: dict) -> ImagePipeline:
    dataset = dict(type='RepeatDataset', dataset=dict(pipeline=list(steps)))
    return ImagePipeline(Config(dict(test_dataloader=dict(dataset=dataset))))


@pytest.mark.parametrize(('dtype', 'bands'), product(DTYPES, (0, 1, 2, 3, 4, 12)))
def test_arrays_of_any_kind_are_read_and_drawn(dtype, bands, tmp_path):
    shape = (7, 9, bands) if bands else (7, 9)
    image = (np.random.default_rng(bands).random(shape) * 200).astype(dtype)
    np.save(tmp_path / 'a.npy', image)
    read = pipeline(dict(type='LoadArray'), dict(type='PackArray'))
    assert read(tmp_path / 'a.npy')['inputs'].shape == shape
    picture = read.picture(tmp_path / 'a.npy')
    assert picture.shape == (7, 9, 3) and picture.dtype == np.uint8
    if bands >= 3:
        numbers = image[..., :3].astype(float)
    else:
        numbers = image.reshape(7, 9, -1)[..., [0, 0, 0]].astype(float)
    if dtype != 'uint8':
        assert f'{dtype} scaled to bytes' in read.drawn
        low, high = numbers.min(), numbers.max()
        numbers = (numbers - low) / max(high - low, 1e-9) * 255
    assert np.abs(picture - numbers).max() <= 0.5
    if bands in (2, 4, 12):
        shown = '1' if bands == 2 else '1, 2 and 3'
        assert f'of {bands} bands {shown}' in read.drawn


@pytest.mark.parametrize('value', [0.0, 5.5, np.nan, np.inf])
def test_numbers_without_a_range_are_drawn(value, tmp_path):
    np.save(tmp_path / 'a.npy', np.full((3, 4, 5), value))
    read = pipeline(dict(type='LoadArray'))
    assert (read.picture(tmp_path / 'a.npy') == 0).all()


@pytest.mark.parametrize('error', [*(e.__name__ for e in ERRORS), 'nothing'])
def test_an_error_of_a_loader_is_not_called_a_damaged_image(error, tmp_path):
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    read = pipeline(dict(type='LoadArray', error=error), dict(type='PackArray'))
    for call in (read, read.picture):
        with pytest.raises(ValueError, match=r'a\.png: LoadArray, a step of') as raised:
            call(tmp_path / 'a.png')
        told = str(raised.value)
        assert 'damaged' not in told and '\n' not in told
        assert error == 'nothing' or 'no band 7' in told


def test_an_error_after_loading_names_its_step(tmp_path):
    np.save(tmp_path / 'a.npy', np.zeros((4, 4, 3), np.uint8))
    read = pipeline(dict(type='LoadArray'), dict(type='PackArray', fails=True))
    with pytest.raises(ValueError, match=r"a\.npy: PackArray, .* no 'gt_boxes'"):
        read(tmp_path / 'a.npy')


@pytest.mark.parametrize('content', [b'', b'no picture', b'\x89PNG\r\n\x1a\nxx'])
def test_a_damaged_image_is_called_so(content, tmp_path):
    (tmp_path / 'a.png').write_bytes(content)
    read = pipeline(dict(type='LoadImageFromFile'))
    with pytest.raises(ValueError, match=r'a\.png is not an image that can be read'):
        read(tmp_path / 'a.png')


@pytest.mark.parametrize(
    ('mode', 'options', 'expected'),
    [
        ('RGB', {}, [200, 10, 30]),
        ('RGBA', dict(color_type='unchanged'), [200, 10, 30]),
        ('L', dict(color_type='grayscale'), [70, 70, 70]),
        ('L', {}, [70, 70, 70]),
    ],
)
def test_stock_loaders_are_drawn_in_their_colours(mode, options, expected, tmp_path):
    color = 70 if mode == 'L' else (200, 10, 30, 40)[: len(mode)]
    Image.new(mode, (6, 5), color).save(tmp_path / 'a.png')
    picture = pipeline(dict(type='LoadImageFromFile', **options)).picture(
        tmp_path / 'a.png'
    )
    assert picture.shape == (5, 6, 3) and (picture == expected).all()


def test_a_folder_of_images_of_the_datas_own_suffix(tmp_path):
    for name in ('a.npy', 'b.png', 'c.txt', 'd_img.NPY'):
        (tmp_path / name).touch()
    found = find_images(tmp_path, tmp_path / 'out', (None, '.npy'))
    assert [path.name for path in found] == ['a.npy', 'b.png', 'd_img.NPY']
    (tmp_path / 'b.png').unlink()
    with pytest.raises(FileNotFoundError, match=re.escape('no images (.bmp, ')):
        find_images(tmp_path, tmp_path / 'out')


@pytest.mark.parametrize(
    'config', [{}, dict(test_dataloader=None), dict(test_dataloader=dict(dataset={}))]
)
def test_a_config_without_a_pipeline_is_told(config):
    with pytest.raises(
        ValueError, match=r'no test_dataloader\.dataset with a pipeline'
    ):
        module.test_dataset(Config(config))


@pytest.mark.parametrize(
    'kind', ['LoadAnnotations', 'LoadPanopticAnnotations', 'own.LoadOwnAnnotation']
)
def test_steps_that_load_annotations_are_left_out(kind, tmp_path):
    np.save(tmp_path / 'x.npy', np.ones((4, 5, 3), np.uint8))
    steps = dict(type='LoadArray'), dict(type=kind), dict(type='PackArray')
    assert pipeline(*steps)(tmp_path / 'x.npy')['inputs'].shape == (4, 5, 3)


def test_numbers_that_are_no_bytes_are_not_called_damaged(tmp_path):
    path = tmp_path / 'height.tif'
    Image.fromarray(np.ones((7, 9), np.float32)).save(path)
    load, pack = dict(type='LoadImageFromFile'), dict(type='PackArray')
    with pytest.raises(ValueError, match=r'height.tif has 1 bands of float32, .*unch'):
        pipeline(load, pack)(path)
    whole = pipeline(load | dict(color_type='unchanged'), pack)
    assert whole(path)['inputs'].max() == 1 and whole.picture(path).shape == (7, 9, 3)


def test_what_is_named_like_an_image_and_is_none(tmp_path):
    for name in ('a.png', '._a.png', 'b.png/c.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path, tmp_path / 'out') == [tmp_path / 'a.png']


@pytest.mark.parametrize('shape', [(1, 3000), (3000, 1), (900, 1000)])
def test_a_picture_of_any_shape_is_shrunk(shape):
    small = thumbnail(np.zeros((*shape, 3), np.uint8))
    assert max(small.shape) == 800 and min(small.shape) >= 1
