"""Write a trained model as an ONNX file of standard operators, and check the file.

    python tools/export.py CONFIG CHECKPOINT OUT.onnx
    python tools/export.py CONFIG CHECKPOINT OUT.onnx --dynamic --with-preprocessing

Classifiers give `scores`, segmenters `logits` and `labels`, dense detectors (RetinaNet)
what their head says, other detectors the maps of backbone and neck, TSM2 `forecast`;
with `--with-selection` also where the token mixers select.
The file holds the names of the classes, mean and std, input size and a digest of the
config as metadata. File and network are run side by side; if they differ, no file is
left and the status is 1. See docs/export.md.
"""

import argparse
from pathlib import Path

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine.config import (
    add_flags,
    add_options,
    add_size,
    checkpoint_parser,
    load_config,
)
from mmmambamixer.export.job import Options, export
from mmmambamixer.messages import one_sentence

FLAGS = {
    '--dynamic': 'leave batch, height and width open; else batches are of 1',
    '--fp16': 'weights and arithmetic of 16 bits, hidden states of 32',
    '--with-preprocessing': 'take RGB pictures, uint8 (batch, height, width, 3), or '
    'series in their own units: resize and normalisation are inside',
    '--with-selection': 'also give delta of each token mixer, the mean over its '
    'features, as delta_STAGE_NUMBER (batch, scans, height, width)',
    '--openvino': "scans as OpenVINO's reader needs them; slower in onnxruntime",
}


def parse_args() -> argparse.Namespace:
    parser = checkpoint_parser(__doc__)
    parser.add_argument('out', type=Path, help='file to write, *.onnx')
    add_size(
        parser, '--shape', 'of the images (that of the test pipeline, else 224 224)'
    )
    parser.add_argument(
        '--opset', type=int, default=18, help='version of the operators (18)'
    )
    add_flags(parser, FLAGS)
    add_options(parser, 'model.head.topk=1')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    options = Options(
        shape=args.shape and tuple(args.shape),
        dynamic=args.dynamic,
        opset=args.opset,
        fp16=args.fp16,
        openvino=args.openvino,
        prepared=args.with_preprocessing,
        selection=args.with_selection,
    )
    with one_sentence():
        config = load_config(args.config, args.cfg_options)
        lines = export(config, args.checkpoint, args.out, options)
    print(*lines, sep='\n')


if __name__ == '__main__':
    main()
