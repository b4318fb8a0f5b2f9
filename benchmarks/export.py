"""Agreement, time and accuracy of exported files, in onnxruntime on the CPU.

    python benchmarks/export.py agreement CONFIG CHECKPOINT FILE [--pictures FOLDER]
    python benchmarks/export.py time CONFIG CHECKPOINT FILE [--size 224]
    python benchmarks/export.py accuracy FOLDER FILE ... [--int8]

`agreement` runs a `--dynamic` file and its network on random batches of 1 and 4 at
three sizes and prints the largest difference of each, relative to the largest value;
with `--pictures` it counts the labels that differ on the PNG files below a folder.
`time` runs the file and our own kernels in turns, on one thread, and prints medians of
processor time. `accuracy` reads images from a folder for each class; with `--int8` also
by each file as onnxruntime's own tool quantises it: `quantize_dynamic`. All take plain
files, exported without `--with-preprocessing` and `--with-selection`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from PIL import Image

import mmmambamixer.patches  # noqa: F401
from mmmambamixer.engine.config import load_config, positive
from mmmambamixer.export.check import FLOAT32, differences, open_session
from mmmambamixer.export.job import OTHER_SIZES
from mmmambamixer.export.networks import BATCH, HEIGHT, WIDTH, Network
from mmmambamixer.export.trained import load_network
from mmmambamixer.messages import one_sentence

LABELS = dict(classification=('scores', 1), segmentation=('labels', None))
"""Output that says the labels, and its axis of classes, by task."""


def open_plain(path: Path, **options) -> ort.InferenceSession:
    """Open a plain file.

    Raises:
        ValueError: If it prepares its input or tells what it selects.
    """
    session = open_session(path, **options)
    meta = session.get_modelmeta().custom_metadata_map
    if meta.get('preprocessing') == 'inside' or 'selection' in meta:
        raise ValueError(
            f'{path} must be a plain export; '
            'export it without --with-preprocessing and --with-selection'
        )
    return session


def compare_results(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    network = load_network(load_config(args.config), args.checkpoint, prepared=False)
    open_plain(args.file)
    sizes = [(b, h, w) for b in (1, 4) for _, h, w in OTHER_SIZES]
    runs = [dict(zip((BATCH, HEIGHT, WIDTH), size, strict=True)) for size in sizes]
    if network.task == 'forecasting':
        runs = [{BATCH: 1}, {BATCH: 4}]
    for found in differences(network, args.file, runs, FLOAT32):
        print(found)
    if args.pictures:
        print(compare_labels(network, args.file, args.pictures))


def compare_labels(network: Network, path: Path, folder: Path) -> str:
    """Return how many labels differ, of pictures or of their pixels."""
    session, (out, axis) = open_plain(path), LABELS[network.task]
    place, differ, total = network.outputs.index(out), 0, 0
    size = network.facts['input_size'] if network.task == 'classification' else None
    files = find_pictures(folder)
    for file in files:
        x = read_picture(file, network.facts, size)
        with torch.no_grad():
            truth = network.module(torch.from_numpy(x))[place].numpy()
        result = session.run(None, {'image': x})[place]
        if axis is not None:
            truth, result = truth.argmax(axis), result.argmax(axis)
        differ, total = differ + int((truth != result).sum()), total + truth.size
    return f'{differ} of {total:,} labels of {len(files)} pictures differ'


def compare_times(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    network = load_network(load_config(args.config), args.checkpoint, prepared=False)
    start = time.perf_counter()
    session = open_plain(args.file, threads=1)
    print(f'loaded in {time.perf_counter() - start:.2f} s')
    sizes = dict(batch=1, height=args.size, width=args.size)
    given = {name: entry.draw(sizes) for name, entry in network.inputs.items()}
    arrays = {name: x.numpy() for name, x in given.items()}
    calls = {
        'our kernels': lambda: network.module(*given.values()),
        f'onnxruntime {ort.__version__}': lambda: session.run(None, arrays),
    }
    seconds = {name: [] for name in calls}
    with torch.no_grad():
        for turn in range(args.runs + 1):
            for name, call in calls.items():
                start = time.process_time()
                call()
                if turn:  # the first warms up
                    seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    for name, median in medians.items():
        print(f'{name}: {1e3 * median:.1f} ms ({median / first:.2f} x)')


def compare_accuracies(args: argparse.Namespace) -> None:
    for path in args.files:
        print(f'{path}: {accuracy(path, args.folder)}')
        if args.int8:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / 'int8.onnx'
                quantise(path, file)
                size = file.stat().st_size / 1e6
                print(f'{path}, int8, {size:.2f} MB: {accuracy(file, args.folder)}')


def quantise(path: Path, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = out.with_suffix('.prepared.onnx')
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, out, weight_type=QuantType.QInt8)
    prepared.unlink()


def accuracy(path: Path, folder: Path) -> str:
    session = open_plain(path)
    meta = session.get_modelmeta().custom_metadata_map
    facts = {key: json.loads(meta[key]) for key in ('classes', 'mean', 'std')}
    facts |= dict(channel_order=meta['channel_order'])
    images = find_pictures(folder)
    size = json.loads(meta['input_size'])
    right = 0
    for image in images:
        [scores] = session.run(None, {'image': read_picture(image, facts, size)})
        right += facts['classes'][scores.argmax()] == image.parent.name
    return f'{right} of {len(images)} right ({right / len(images):.2%})'


def find_pictures(folder: Path) -> list[Path]:
    found = sorted(folder.glob('**/*.png'))
    if not found:
        raise FileNotFoundError(f'no PNG images in {folder} and the folders below')
    return found


def read_picture(path: Path, facts: Mapping, size: Sequence[int] | None) -> np.ndarray:
    """Return a picture as the network takes it, `(1, 3, h, w)`.

    Args:
        path: Of the file.
        facts: `mean`, `std` and `channel_order`, as in the metadata.
        size: Height and width to resize to, or None to keep them.
    """
    picture = Image.open(path).convert('RGB')
    if size is not None:
        picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
    x = np.asarray(picture, np.float32)
    if facts['channel_order'] == 'BGR':
        x = x[..., ::-1]
    x = (x - np.float32(facts['mean'])) / np.float32(facts['std'])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
    agreeing = parts.add_parser('agreement')
    agreeing.add_argument('config')
    agreeing.add_argument('checkpoint')
    agreeing.add_argument('file', type=Path)
    agreeing.add_argument('--pictures', type=Path)
    agreeing.set_defaults(run=compare_results)
    timing = parts.add_parser('time')
    timing.add_argument('config')
    timing.add_argument('checkpoint')
    timing.add_argument('file', type=Path)
    timing.add_argument('--size', type=positive, default=224)
    timing.add_argument('--runs', type=positive, default=20)
    timing.set_defaults(run=compare_times)
    judging = parts.add_parser('accuracy')
    judging.add_argument('folder', type=Path)
    judging.add_argument('files', type=Path, nargs='+')
    judging.add_argument('--int8', action='store_true')
    judging.set_defaults(run=compare_accuracies)
    args = parser.parse_args()
    with one_sentence():
        args.run(args)


if __name__ == '__main__':
    main()
