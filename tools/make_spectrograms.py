"""Turn recordings of spoken digits into spectrograms that stock datasets read.

    python tools/make_spectrograms.py data/free-spoken-digit-dataset/recordings

The input is a folder of DIGIT_SPEAKER_INDEX.wav, as of the Free Spoken Digit Dataset
(https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0). Written are

- `images/DIGIT/DIGIT_SPEAKER_INDEX.png`: the first second in grey, 32 mel bands from
  high at the top to low, 64 frames; white is the loudest, black is 80 dB below;
- `SPEAKER/train.txt` and `SPEAKER/test.txt`: image and class on each line, the test of
  this speaker alone and the training without this speaker;
- `own/train.txt` and `own/test.txt`: the split of the data set, whose test is index 0
  to 4 of each digit and speaker.

Needs librosa: `pip install librosa`.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from PIL import Image

RATE = 8000
"""Samples a second; what has another rate is resampled."""
WINDOW = 256
HOP = 128
FRAMES = 64
BANDS = 32
RANGE = 80
"""Decibels from black to white."""
OWN_TEST = 5
"""Recordings of each digit and speaker in the test of the data set's own split."""
NAME = re.compile(r'(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)')


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return the log-mel spectrogram `(32, 64)`, uint8, of samples at 8 kHz."""
    import librosa

    samples = librosa.util.fix_length(samples, size=(FRAMES - 1) * HOP)
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS
    )
    decibels = librosa.power_to_db(power, ref=np.max, top_db=RANGE)
    return np.round(255 * (1 + decibels[::-1] / RANGE)).astype(np.uint8)


def read(path: Path) -> np.ndarray:
    """Return the samples of a recording as one channel at 8 kHz.

    Raises:
        RuntimeError: If it cannot be read; the message names the file.
    """
    import librosa
    import soundfile

    samples, rate = soundfile.read(path)
    return librosa.resample(librosa.to_mono(samples.T), orig_sr=rate, target_sr=RATE)


def find(folder: Path) -> dict[Path, re.Match]:
    """Return the recordings of a folder with the parts of their names.

    Raises:
        ValueError: If there are none, or one has another kind of name.
    """
    paths = sorted(folder.glob('*.wav'))
    if not paths:
        raise ValueError(f'{folder} has no recordings, *.wav')
    parts = {path: NAME.fullmatch(path.stem) for path in paths}
    for path, part in parts.items():
        if part is None:
            raise ValueError(f'{path} is not named DIGIT_SPEAKER_INDEX.wav')
    return parts


def write_split(folder: Path, tested: dict[Path, bool]) -> None:
    """Write `train.txt` and `test.txt` of images, relative to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, is_test in (('train', False), ('test', True)):
        images = [image for image, held_out in tested.items() if held_out is is_test]
        lines = [f'../{image.as_posix()} {image.parent.name}\n' for image in images]
        (folder / f'{name}.txt').write_text(''.join(lines))
    print(f'{folder}: {sum(tested.values())} of {len(tested)} images are its test')


def convert(source: Path, out: Path) -> None:
    """Write the images of all recordings and the splits."""
    parts = find(source)
    images = {
        path: Path('images', part['digit'], f'{path.stem}.png')
        for path, part in parts.items()
    }
    for path, image in images.items():
        (out / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(spectrogram(read(path))).save(out / image)
    for speaker in sorted({part['speaker'] for part in parts.values()}):
        tested = {images[path]: parts[path]['speaker'] == speaker for path in parts}
        write_split(out / speaker, tested)
    own = {images[path]: int(parts[path]['index']) < OWN_TEST for path in parts}
    write_split(out / 'own', own)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('recordings', type=Path, help='folder of the recordings')
    parser.add_argument('--out', type=Path, default=Path('data/spectrograms'))
    args = parser.parse_args()
    try:
        convert(args.recordings, args.out)
    except ModuleNotFoundError as error:
        parser.error(f'{error.name} is missing: pip install librosa')
    except (ValueError, OSError, RuntimeError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
