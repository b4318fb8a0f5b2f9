"""`tools/make_spectrograms.py` on tones: images, their orientation and the splits."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

needs_librosa = pytest.mark.skipif(not find_spec('librosa'), reason='no librosa')
TOOLS = Path(__file__).parents[2] / 'tools'
RATE = 16000  # resampled to the 8 kHz of the spectrograms


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import make_spectrograms

    return make_spectrograms


def write_tone(path: Path, hertz: float, seconds: float) -> None:
    time = np.arange(int(seconds * RATE)) / RATE
    wave = 20000 * np.sin(2 * np.pi * hertz * time)
    wavfile.write(path, RATE, wave.astype(np.int16))


@needs_librosa
def test_low_tones_are_white_at_the_bottom_as_long_as_they_last(tool, tmp_path):
    write_tone(tmp_path / '3_ann_0.wav', 300, 0.5)
    write_tone(tmp_path / '7_bob_5.wav', 3000, 2.0)
    tool.convert(tmp_path, tmp_path / 'out')
    low, high = (
        np.asarray(Image.open(tmp_path / 'out/images' / name)).astype(float)
        for name in ('3/3_ann_0.png', '7/7_bob_5.png')
    )
    assert low.shape == high.shape == (tool.BANDS, tool.FRAMES)
    assert low.max() == high.max() == 255
    assert low[:, 5].argmax() > 20 and high[:, 5].argmax() < 10
    frames = 0.5 * tool.RATE / tool.HOP
    assert (low[:, : int(frames) - 2].max(0) > 200).all()
    assert (low[:, int(frames) + 3 :] == 0).all()
    assert (high.max(0) > 200).all()


@needs_librosa
def test_a_speaker_or_an_index_is_left_out(tool, tmp_path):
    for name in ('3_ann_0', '3_ann_5', '7_bob_5'):
        write_tone(tmp_path / f'{name}.wav', 500, 0.2)
    out = tmp_path / 'out'
    tool.convert(tmp_path, out)
    lines = {
        path.relative_to(out).as_posix(): path.read_text().splitlines()
        for path in out.glob('*/*.txt')
    }
    ann = ['../images/3/3_ann_0.png 3', '../images/3/3_ann_5.png 3']
    bob = ['../images/7/7_bob_5.png 7']
    assert lines == {
        'ann/train.txt': bob,
        'ann/test.txt': ann,
        'bob/train.txt': ann,
        'bob/test.txt': bob,
        'own/train.txt': [ann[1], *bob],
        'own/test.txt': [ann[0]],
    }


@pytest.mark.parametrize(
    ('files', 'sentence'),
    [
        ({}, 'has no recordings, *.wav'),
        ({'three.wav': b''}, 'three.wav is not named DIGIT_SPEAKER_INDEX.wav'),
        pytest.param({'3_ann_0.wav': b'text'}, '3_ann_0.wav', marks=needs_librosa),
    ],
)
def test_bad_recordings_are_told_in_a_sentence(
    tool, tmp_path, monkeypatch, capsys, files, sentence
):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert sentence in error_of(tool, tmp_path, monkeypatch, capsys)


def test_the_library_that_is_missing_is_named(tool, tmp_path, monkeypatch, capsys):
    (tmp_path / '3_ann_0.wav').touch()
    monkeypatch.setitem(sys.modules, 'librosa', None)
    error = error_of(tool, tmp_path, monkeypatch, capsys)
    assert error == 'librosa is missing: pip install librosa'


def error_of(tool, folder: Path, monkeypatch, capsys) -> str:
    """Run the tool on a folder and return its error, the last line."""
    monkeypatch.setattr(
        sys, 'argv', ['make_spectrograms.py', str(folder), '--out', str(folder / 'out')]
    )
    with pytest.raises(SystemExit):
        tool.main()
    *_, line = capsys.readouterr().err.splitlines()
    return line.removeprefix('make_spectrograms.py: error: ')
