"""Images, labels and label maps that cannot be used: the file is named."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmpretrain')

DATASET = 'train_dataloader.dataset.data_root='
PICTURE = np.random.default_rng(0).integers(0, 255, (64, 72, 3), dtype=np.uint8)


@pytest.fixture
def own_data(scenes, tmp_path) -> Path:
    """A copy of the scenes that a test may spoil."""
    return Path(shutil.copytree(scenes, tmp_path / 'own'))


def fails(call, config: Path, data: Path) -> str:
    """Return the sentence in which a training ends."""
    with pytest.raises(SystemExit) as end:
        call('train.py', config, '--cfg-options', f'{DATASET}{data}')
    sentence = str(end.value.code)
    assert sentence.startswith('error: ') and '\n' not in sentence
    return sentence.removeprefix('error: ')


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def encode(suffix: str, spoil=None):
    """Return a function that writes the picture in a format, and maybe spoils it."""

    def write(path: Path) -> None:
        cv2.imencode(suffix, PICTURE)[1].tofile(path)
        if spoil:
            spoil(path)

    return write


READ = 'cannot be read: damaged, or empty?'
IMAGES = {
    'missing': (Path.unlink, 'is missing'),
    'a folder': (lambda path: (path.unlink(), path.mkdir()), 'is missing'),
    'a broken link': (lambda path: (path.unlink(), path.symlink_to('x')), 'is missing'),
    'empty': (lambda path: path.write_bytes(b''), READ),
    'text': (lambda path: path.write_text('<html>404</html>'), READ),
    'zeros': (lambda path: path.write_bytes(bytes(5000)), READ),
    'cut PNG': (encode('.png', half), READ),
    'cut JPEG': (encode('.jpg', half), READ),
    'PNG with a flipped byte': (encode('.png', flip), READ),
    'numbers of floating point': (
        lambda path: Image.fromarray(np.ones((9, 9), np.float32)).save(path, 'TIFF'),
        'has 1 bands of float32, which cannot be read as three of 8 bits: '
        "LoadImageFromFile needs color_type='unchanged', or take a loader of your own",
    ),
}


@pytest.mark.parametrize('kind', IMAGES)
def test_images(kind, configs, own_data, call):
    path = own_data / 'images/1.png'
    spoil, text = IMAGES[kind]
    spoil(path)
    assert fails(call, configs['mmpretrain'], own_data) == f'the image {path} {text}'


MODES = {
    '1 x 1': Image.new('RGB', (1, 1)),
    'grey': Image.new('L', (30, 20), 90),
    'black and white': Image.new('1', (30, 20)),
    'with a palette': Image.new('P', (30, 20)),
    'with transparency': Image.new('RGBA', (30, 20)),
    'sixteen bits': Image.fromarray(np.full((20, 30), 40000, np.uint16)),
    'very wide': Image.new('RGB', (3000, 1)),
}


def test_images_of_any_mode_and_size_train(configs, own_data, call):
    """Read as three channels of eight bits, as the pipelines do; none is refused."""
    labels = []
    for i, image in enumerate(MODES.values()):
        image.save(own_data / f'images/m{i}.png')
        labels.append(f'm{i}.png {i % 2}\n')
    (own_data / 'labels.txt').write_text(''.join(labels))
    call('train.py', configs['mmpretrain'], '--cfg-options', f'{DATASET}{own_data}')


LABELS = [
    ('0.png 0\n1.png 7\n', '{data}/images/1.png has the label 7, but there are 2 cl'),
    ('0.png 0\n1.png -1\n', '{data}/images/1.png has the label -1, but there are 2'),
    ('0.png 0\n1.png cat\n', "{data}/labels.txt has the line '1.png cat', expected"),
    ('0.png 0\n1.png\n', "{data}/labels.txt has the line '1.png', expected"),
    ('0.png 0\n9.png 1\n', 'the image {data}/images/9.png is missing'),
    ('', 'train_dataloader has no image that its filters let pass'),
]


@pytest.mark.parametrize(('content', 'text'), LABELS)
def test_labels(content, text, configs, own_data, call):
    (own_data / 'labels.txt').write_text(content)
    assert text.format(data=own_data) in fails(call, configs['mmpretrain'], own_data)


def save(values, shape=(64, 72), dtype=np.uint8):
    return lambda path: Image.fromarray(np.full(shape, values, dtype)).save(path)


MASKS = {
    'empty': (lambda path: path.write_bytes(b''), READ),
    'of another size': (
        save(1, (30, 20)),
        'has height and width (30, 20), its image (64, 72)',
    ),
    'in colour': (save(1, (64, 72, 3)), 'has 3 channels, expected one'),
    'with transparency': (save(1, (64, 72, 4)), 'has 4 channels, expected one'),
}


@pytest.mark.parametrize('kind', MASKS)
def test_label_maps(kind, configs, own_data, call):
    pytest.importorskip('mmseg')
    path = own_data / 'masks/1.png'
    spoil, text = MASKS[kind]
    spoil(path)
    sentence = fails(call, configs['mmseg'], own_data)
    assert sentence.startswith(f'the label map {path} {text}')


def test_label_maps_of_sixteen_bits(configs, own_data, call):
    pytest.importorskip('mmseg')
    save(257, (64, 64), np.uint16)(own_data / 'masks/0.png')
    sentence = fails(call, configs['mmseg'], own_data)
    assert 'masks/0.png has labels up to 257, of which mmseg keeps 8 bits' in sentence


def spoil_coco(folder: Path, change) -> None:
    path = folder / 'instances.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


COCO = [
    (
        lambda c: c['annotations'][3].update(bbox=[1, 2, -3, 4]),
        '{data}/instances.json: annotation 4 has the bbox [1, 2, -3, 4], expected',
    ),
    (
        lambda c: c['images'][0].update(width=640, height=480),
        '{data}/images/0.png has height and width (64, 64), its annotation says (480',
    ),
    (
        lambda c: [a.pop('segmentation') for a in c['annotations']],
        '{data}/instances.json: 8 annotations, as 1, 2, 3, have no segmentation',
    ),
]


@pytest.mark.parametrize(('change', 'text'), COCO)
def test_annotations_of_a_detector(change, text, configs, own_data, call):
    pytest.importorskip('mmdet')
    spoil_coco(own_data, change)
    assert text.format(data=own_data) in fails(call, configs['mmdet'], own_data)


def test_the_first_image_has_the_channels_of_the_model(configs, call):
    options = ['model.backbone.in_channels=1', 'data_preprocessor.mean=[0]']
    options += ['data_preprocessor.std=[1]', 'data_preprocessor.to_rgb=False']
    text = 'images of train_dataloader have 3 channels, but model.backbone.in_channels '
    with pytest.raises(SystemExit, match=text):
        call('train.py', configs['mmpretrain'], '--cfg-options', *options)


SHIFTED = {
    'classes': ('dataset.metainfo.classes=[odd,even]', "place 0 is 'even' in train_d"),
    'labels': ('dataset.ann_file=shifted.txt', 'has the label 2, but there are 2 cl'),
    'no file': ('dataset.ann_file=none.txt', 'no annotation file {data}/none.txt'),
    'no folder': ('dataset.data_prefix=none', 'no data folder {data}/none'),
    'a step': ('dataset.pipeline.1.type=Resiz', "did you mean 'Resize'?"),
    'no batch': ('dataset.ann_file=empty.txt', 'test_dataloader'),
}


@pytest.mark.parametrize('kind', SHIFTED)
def test_what_a_test_would_refuse_is_told_before_training(
    kind, configs, own_data, call, capfd
):
    """The training itself goes on."""
    lines = (own_data / 'labels.txt').read_text()
    (own_data / 'shifted.txt').write_text(lines.replace(' 1', ' 2'))
    (own_data / 'empty.txt').write_text('')
    option, told = SHIFTED[kind]
    options = [f'test_dataloader.dataset.data_root={own_data}']
    options += [f'test_dataloader.{option}']
    call('train.py', configs['mmpretrain'], '--cfg-options', *options)
    said = ''.join(capfd.readouterr())
    assert 'this training goes on, but tools/test.py would stop with: ' in said
    assert told.format(data=own_data) in said
    assert 'Epoch(val) [1]' in said
