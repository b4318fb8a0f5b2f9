"""Predict images or series: results as files, and a picture for a first look.

    python tools/predict.py CONFIG CHECKPOINT IMAGE_OR_FOLDER --out DIR
    python tools/predict.py CONFIG CHECKPOINT TABLE.csv --out DIR [--hold-out]

The config's scope says which task it is. DIR gets `predictions.png` and, of images,
`predictions.json`:

- classification: label and confidence of each image. Where an image lies in a folder
  that is named like a class, that is taken as the truth.
- detection: all that the model finds, in the form of COCO's result files (bbox x, y,
  width, height; masks run-length encoded; `image_id` counts the images and
  `category_id` the classes from 0), with the names; and in `overlays/` each image with
  what reaches `--score-threshold`.
- segmentation: each class's share of the pixels; in `label_maps/` PNG files whose pixel
  values are the class indices (with a palette, so that viewers show colours); and in
  `overlays/` each image beside its label map, with a legend.
- forecasting: `forecast.csv`, what comes after the last row of a table, in its units,
  with dates, with quantiles where the model has them. `--hold-out` forecasts the last
  rows of the table instead, from what is before, and shows the truth and the errors.
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.config import Config

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine.config import (
    add_options,
    check_output,
    checkpoint_parser,
    load_config,
    positive,
)
from mmmambamixer.engine.device import add_device
from mmmambamixer.messages import one_sentence
from mmmambamixer.preflight.series import FORECASTING


class Task(NamedTuple):
    """A module of `mmmambamixer.inference`, and how many images it takes and shows."""

    module: str
    batch_size: int = 1
    show: int = 12


TASKS = dict(
    mmpretrain=Task('classification', 64, 60),
    mmdet=Task('detection'),
    mmseg=Task('segmentation'),
)


def parse_args() -> argparse.Namespace:
    parser = checkpoint_parser(__doc__)
    parser.add_argument('source', type=Path, help='image, folder of images, or table')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument(
        '--score-threshold',
        type=score,
        default=0.5,
        help='least score of the objects that are drawn (detection; 0.5)',
    )
    parser.add_argument(
        '--batch-size', type=positive, help='64 for classification, else 1'
    )
    parser.add_argument(
        '--show',
        type=positive,
        help='images on the sheet (60 for classification, else 12)',
    )
    parser.add_argument(
        '--layout',
        choices=['wide', 'long'],
        default='wide',
        help='of the table: a column a variate, or unique_id, ds and y (forecasting)',
    )
    parser.add_argument(
        '--future', help='table of covariates that are known in advance (forecasting)'
    )
    parser.add_argument(
        '--hold-out',
        action='store_true',
        help='forecast the last rows of the table and show the truth (forecasting)',
    )
    add_options(parser, 'horizon=336')
    add_device(parser)
    return parser.parse_args()


def score(text: str) -> float:
    """Return the number that an option gives; argparse says it must be from 0 to 1."""
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'must be a number from 0 to 1, got {text}')


def predict_images(args: argparse.Namespace, config: Config) -> list[str]:
    """Write the predictions of images; return lines that say so."""
    from mmmambamixer.inference.images import find_images, result_names
    from mmmambamixer.inference.model import load_model, predictions
    from mmmambamixer.inference.output import Output
    from mmmambamixer.inference.pipeline import ImagePipeline
    from mmmambamixer.inference.steps import test_dataset

    data = test_dataset(config)
    suffixes = (data.get('img_suffix'), *(data.get('extensions') or ()))
    images = find_images(args.source, args.out, suffixes)
    task = TASKS[config.default_scope]
    model = load_model(config, args.checkpoint, args.device)
    pipeline = ImagePipeline(config)
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(0)  # mmdet draws the shades of masks
    size = task.batch_size if args.batch_size is None else args.batch_size
    output = Output(
        folder=args.out,
        meta=model.dataset_meta,
        read=pipeline.picture,
        names=result_names(images, args.source),
        show=task.show if args.show is None else args.show,
        threshold=args.score_threshold,
    )
    writer = import_module(f'mmmambamixer.inference.{task.module}')
    line = writer.write(predictions(config, model, pipeline, images, size), output)
    if pipeline.drawn:
        line += f'\npictures are drawn {pipeline.drawn}'
    return [
        line,
        f'all predictions: {args.out / "predictions.json"}',
        f'picture: {args.out / "predictions.png"}',
    ]


def predict_series(args: argparse.Namespace, config: Config) -> list[str]:
    """Write the forecast of a table; return lines that say so."""
    from mmmambamixer.forecast.predict import write

    return write(
        config,
        args.checkpoint,
        args.source,
        args.out,
        device=args.device,
        layout=args.layout,
        future=args.future,
        hold_out=args.hold_out,
    )


def main() -> None:
    args = parse_args()
    with one_sentence():
        check_output(args.out, '--out')
        config = load_config(args.config, args.cfg_options)
        scope = config.get('default_scope')
        if scope == FORECASTING:
            lines = predict_series(args, config)
        elif scope in TASKS:
            lines = predict_images(args, config)
        else:
            known = [*TASKS, FORECASTING]
            raise ValueError(f'default_scope must be one of {known}, got {scope}')
    print(*lines, sep='\n')


if __name__ == '__main__':
    main()
