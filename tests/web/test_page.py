"""The page that runs networks in a browser, acted on in a headless Chromium."""

import io
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, drive
from PIL import Image, ImageDraw
from strokes import STROKES

onnxruntime = pytest.importorskip('onnxruntime')

ROOT = Path(__file__).parents[2]
SITE = ROOT / 'docs' / '_build' / 'web'
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here'),
    pytest.mark.skipif(
        not (SITE / 'site.json').is_file(), reason='no page here: `make web` builds it'
    ),
]


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), 'PNG')


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def on_paper(strokes: list) -> Image.Image:
    """A photograph's like: dark ink on light paper, at the side of a wide picture."""
    image = Image.new('RGB', (900, 600), (225, 220, 205))
    for points in strokes:
        line = [(40 + 300 * x, 100 + 300 * y) for x, y in points]
        ImageDraw.Draw(image).line(line, fill=(40, 40, 90), width=30, joint='curve')
    return image


RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (8, 8, 3), np.uint8)
SMALL = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (6, 8, 3), np.uint8)).resize((64, 47))
)
FILES = {
    'pixels.png': png(PIXELS),
    'paper.jpg': encoded(on_paper(STROKES[4]), 'JPEG'),
    'small.png': png(SMALL),
    'large.png': png(np.asarray(Image.fromarray(SMALL).resize((600, 450)))),
    'plain.png': png(np.full((20, 30, 3), 200, np.uint8)),
    'notes.txt': b'Which digit is this?',
    'cut.png': png(PIXELS)[:60],
    'text.png': b'no picture',
    'empty.png': b'',
}


def step(section: str, *names: str, drop: bool = False) -> dict:
    kinds = {'txt': 'text/plain', 'png': 'image/png', 'jpg': 'image/jpeg'}
    files = [(name, kinds[name[-3:]]) for name in names]
    return dict(section=section, files=files, drop=drop)


STEPS = {
    **{i: dict(section='digit', strokes=strokes) for i, strokes in enumerate(STROKES)},
    'pixels': step('digit', 'pixels.png'),
    'paper': step('digit', 'paper.jpg', drop=True),
    'small': step('scene', 'small.png', drop=True),
    'large': step('scene', 'large.png', 'small.png'),
    'plain': step('digit', 'plain.png'),
    'notes': step('digit', 'notes.txt'),
    'cut': step('scene', 'cut.png'),
    'text': step('digit', 'text.png', drop=True),
    'empty': step('scene', 'empty.png'),
    'nothing': step('digit', drop=True),
    'again': step('digit', 'pixels.png'),
}


@pytest.fixture(scope='module')
def seen(tmp_path_factory):
    folders = [ROOT / 'docs' / 'web', SITE, Path(__file__).parent]
    profile = tmp_path_factory.mktemp('profile')
    result = drive(folders, profile, list(STEPS.values()), FILES)
    assert result.get('status') == 'Ready.', result
    return dict(zip(STEPS, result['seen'], strict=True))


@pytest.fixture(scope='module')
def runs():
    """By name of a network: from pixels to its outputs by name, in Python."""
    sessions = {
        name: onnxruntime.InferenceSession(SITE / f'{name}.onnx')
        for name in ('digits', 'scenes')
    }

    def run(name: str, pixels: np.ndarray) -> dict[str, np.ndarray]:
        session = sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(
            zip(names, session.run(None, dict(image=pixels[None])), strict=True)
        )

    return run


def array(drawn: dict) -> np.ndarray:
    return np.uint8(drawn['rgb']).reshape(drawn['height'], drawn['width'], 3)


def check_delta(shown: list[str], outputs: dict) -> None:
    """The page tells the least and the largest of the mean over the scans."""
    maps = [x[0].mean(0) for name, x in outputs.items() if name.startswith('delta')]
    expected = [(x.min(), x.max()) for x in maps]
    np.testing.assert_allclose(
        [list(map(float, text.split())) for text in shown], expected, rtol=1e-4
    )


def test_drawn_digits_are_recognised_at_once(seen):
    drawn = {i: seen[i].get('answer', seen[i]) for i in range(10)}
    assert drawn == {i: str(i) for i in range(10)}
    assert statistics.median(seen[i]['seconds'] for i in range(10)) < 1


@pytest.mark.parametrize('name', [2, 9, 'pixels', 'paper'])
def test_the_answer_is_that_of_python_on_the_same_pixels(seen, runs, name):
    outputs = runs('digits', array(seen[name]['pixels']))
    np.testing.assert_allclose(seen[name]['scores'], outputs['scores'][0], atol=1e-5)
    assert seen[name]['answer'] == str(outputs['scores'].argmax())
    assert f'{100 * outputs["scores"].max():.1f} % sure' in seen[name]['told']
    check_delta(seen[name]['delta'], outputs)


def test_pictures_of_digits(seen):
    assert (array(seen['pixels']['pixels']) == PIXELS).all()  # 8 x 8: as they are
    assert seen['paper']['answer'] == '4'


@pytest.mark.parametrize('name', ['small', 'large'])
def test_the_label_map_is_that_of_python(seen, runs, name):
    pixels = array(seen[name]['picture'])
    outputs = runs('scenes', pixels)
    palette = np.uint8(
        json.loads((SITE / 'site.json').read_text())['scenes']['palette']
    )
    shown = array(seen[name]['labels'])
    assert np.mean((shown == palette[outputs['labels'][0]]).all(-1)) > 0.999
    check_delta(seen[name]['delta'], outputs)


def test_a_scene_is_read_as_it_is_unless_it_is_large(seen):
    assert (array(seen['small']['picture']) == SMALL).all()
    assert array(seen['large']['picture']).shape == (192, 256, 3)
    told = seen['large']['told']
    assert 'Shrunk to 256' in told and 'The first of 2 files is shown.' in told


@pytest.mark.parametrize('missing', ['ort.wasm.bundle.min.mjs', 'scenes.onnx'])
def test_a_page_that_lacks_a_file_says_so(tmp_path, missing):
    for path in SITE.iterdir():
        if path.is_file() and path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    folders = [ROOT / 'docs' / 'web', tmp_path, Path(__file__).parent]
    result = drive(folders, tmp_path / 'profile', [], {})
    part = {'scenes.onnx': 'scenes.onnx cannot be loaded (status 404)'}
    expected = part.get(missing, 'ONNX Runtime cannot be loaded')
    assert result['status'] == f'{expected}: build the page again with “make web”.'


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('plain', '“plain.png” is of one colour nearly everywhere: there is no digit'),
        ('notes', '“notes.txt” is not a picture: choose a PNG, JPEG or WebP file.'),
        ('cut', '“cut.png” is damaged, or of a kind or size that this browser cannot'),
        ('text', '“text.png” is damaged, or of a kind or size'),
        ('empty', '“empty.png” is empty: choose'),
        ('nothing', 'That is not a file: drop a picture file.'),
    ],
)
def test_a_file_that_is_no_picture_gets_one_sentence(seen, name, told):
    assert seen[name]['error'].startswith(told)
    assert seen['again']['answer'] == seen['pixels']['answer']  # and the page goes on
