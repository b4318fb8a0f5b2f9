"""The demo data: real digits, stratified split, the same bytes each time."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('sklearn')
TOOLS = Path(__file__).parents[1] / 'tools'


@pytest.fixture(scope='module')
def make_digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        import make_digits

        yield make_digits


def digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    parts = (str(p.relative_to(folder)).encode() + p.read_bytes() for p in files)
    return hashlib.sha256(b''.join(parts)).hexdigest()


def test_class_folders_hold_every_image_once(make_digits, tmp_path):
    make_digits.write_classes(tmp_path, 0.2, 1)
    folders = sorted(p.name for p in (tmp_path / 'test').iterdir())
    assert folders == list('0123456789')
    assert {p.name for p in tmp_path.iterdir()} == {'train', 'test'}
    images, labels = make_digits.load()
    found = sorted(tmp_path.rglob('*.png'), key=lambda p: p.name)
    assert [p.name for p in found] == [f'{i:04d}.png' for i in range(len(images))]
    assert [int(p.parent.name) for p in found] == labels.tolist()
    np.testing.assert_array_equal(np.asarray(Image.open(found[7])), images[7])


def test_the_same_call_writes_the_same_bytes(make_digits, tmp_path):
    make_digits.write_classes(tmp_path / 'a', 0.2, 1)
    make_digits.write_classes(tmp_path / 'b', 0.2, 1)
    make_digits.write_classes(tmp_path / 'b', 0.2, 1)  # over an older one
    make_digits.write_classes(tmp_path / 'c', 0.2, 2)
    assert digest(tmp_path / 'a') == digest(tmp_path / 'b')
    assert digest(tmp_path / 'a') != digest(tmp_path / 'c')


def test_split_takes_the_same_share_of_each_class(make_digits):
    labels = np.repeat(np.arange(4), (10, 20, 30, 40))
    parts = make_digits.split(labels, 0.3, seed=0)
    assert np.bincount(labels[parts['test']]).tolist() == [3, 6, 9, 12]
    assert sorted([*parts['train'], *parts['test']]) == list(range(100))


@pytest.mark.parametrize('share', [0, 1, -0.5])
def test_split_refuses_an_empty_part(make_digits, share):
    with pytest.raises(ValueError, match=f'between 0 and 1, got {share}'):
        make_digits.split(np.zeros(4, int), share, seed=0)
