"""Time and accuracy of exported files, in onnxruntime on the CPU.

    python benchmarks/export.py time CONFIG CHECKPOINT FILE.onnx [--size 224]
    python benchmarks/export.py accuracy FOLDER FILE.onnx ... [--int8]

`time` runs the file and our own kernels in turns, on one thread, and prints medians of
processor time. `accuracy` reads images from a folder for each class; with `--int8` also
by each file as onnxruntime's own tool quantises it: `quantize_dynamic`.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from PIL import Image

import mmmambamixer.patches  # noqa: F401
from mmmambamixer.engine.config import load_config, positive
from mmmambamixer.export.check import open_session
from mmmambamixer.export.trained import load_network
from mmmambamixer.messages import one_sentence


def compare_times(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    network = load_network(load_config(args.config), args.checkpoint, prepared=False)
    start = time.perf_counter()
    session = open_session(args.file, threads=1)
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
    session = open_session(path)
    meta = session.get_modelmeta().custom_metadata_map
    facts = {key: json.loads(meta[key]) for key in ('classes', 'mean', 'std')}
    size = json.loads(meta['input_size'])[::-1]
    images = sorted(folder.glob('*/*.png'))
    if not images:
        raise FileNotFoundError(f'no class folders with PNG images in {folder}')
    pictures = [Image.open(path).convert('RGB').resize(size, 3) for path in images]
    x = np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32)
    if meta['channel_order'] == 'BGR':
        x = x[..., ::-1]
    x = ((x - np.float32(facts['mean'])) / np.float32(facts['std'])).transpose(
        0, 3, 1, 2
    )
    scores = np.concatenate(
        [session.run(None, {'image': x[i : i + 1]})[0] for i in range(len(x))]
    )
    truth = [facts['classes'].index(path.parent.name) for path in images]
    right = int((scores.argmax(1) == truth).sum())
    return f'{right} of {len(images)} right ({right / len(images):.2%})'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
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
