"""Draw what a ViM2 selects in an image, what it averages and how far it sees.

    python tools/analysis_tools/visualize_selection.py CONFIG IMAGE \
        --checkpoint CHECKPOINT --out DIR

Takes any config whose backbone is ViM2: classification, detection, segmentation.
docs/selection.md says what the pictures show.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.analysis import Selection, receptive_fields, record_selections
from mmmambamixer.analysis.drawing import (
    Source,
    draw_averaging,
    draw_channels,
    draw_receptive_fields,
    draw_tokens,
)
from mmmambamixer.engine.build import build_model, load_weights
from mmmambamixer.engine.config import add_size, check_output, load_config
from mmmambamixer.engine.device import add_device, check_device
from mmmambamixer.inference.pipeline import ImagePipeline
from mmmambamixer.messages import one_sentence
from mmmambamixer.models.backbones import ViM2

PICTURES = ('delta_tokens', 'delta_channels', 'averaging', 'receptive_field')


def load_model(config: Config, path: str | None) -> nn.Module:
    """Return the model of a config in eval mode; without a checkpoint as constructed.

    Raises:
        ValueError: If the checkpoint does not fit, or the backbone is no ViM2.
    """
    torch.manual_seed(0)
    model = build_model(config)
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, ViM2):
        found = 'none' if backbone is None else type(backbone).__name__
        raise ValueError(
            'the pictures show the scans of ViM2, but the backbone of this config is '
            f'{found}'
        )
    if path is not None:
        load_weights(model, path)
    return model.eval()


def read_image(
    model: nn.Module, pipeline: ImagePipeline, path: Path
) -> tuple[Tensor, np.ndarray]:
    """Return the input of the backbone, `(c, H, W)`, and a picture of it, `(H, W, 3)`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or has not the channels of the backbone.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no image file at {path}')
    sample = pipeline(path)
    channels = len(sample['inputs'])
    if channels != model.backbone.in_channels:
        raise ValueError(
            f'{path} has {channels} channels as the test pipeline loads it, but '
            f'model.backbone.in_channels is {model.backbone.in_channels}'
        )
    batch = {key: [value] for key, value in sample.items()}
    image = model.data_preprocessor(batch)['inputs'][0]
    picture = pipeline.three_bands(sample['inputs'].permute(1, 2, 0).numpy())
    height, width = picture.shape[:2]  # the preprocessor may have padded
    rows, columns = image.shape[1] - height, image.shape[2] - width
    return image, np.pad(picture, [(0, rows), (0, columns), (0, 0)])


def choose(selections: list[Selection], kind: str, every: bool) -> list[Selection]:
    """Return the selections of one kind: every one, or the last of each stage."""
    chosen = [selection for selection in selections if selection.kind == kind]
    if not every:
        chosen = list({selection.stage: selection for selection in chosen}.values())
    return chosen


def draw(
    name: str,
    backbone: ViM2,
    images: Sequence[Tensor],
    picture: np.ndarray,
    args: argparse.Namespace,
) -> str | None:
    """Draw one picture; return what the network lacks if it has nothing to show."""
    path = args.out / f'{name}.png'
    names = [str(image) for image in args.images]
    weights = (args.config, args.checkpoint)
    if name == 'receptive_field':
        fields = receptive_fields(backbone, images)
        draw_receptive_fields(fields, Source(*weights, names), path)
        return None
    if name == 'averaging':
        if backbone.stages[0].averages is None:
            return 'no averaging: each mixer reads the newest map alone'
        draw_averaging(backbone.stages, Source(*weights), path)
        return None
    kind = name.removeprefix('delta_').removesuffix('s')
    found = record_selections(backbone, images[0][None])
    chosen = choose(found, kind, args.every_mixer)
    if not chosen:
        return f'no selective {kind} mixer'
    if kind == 'token':
        draw_tokens(chosen, picture, Source(*weights, names[:1]), path)
    else:
        draw_channels(chosen, Source(*weights, names[:1]), path)
    return None


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file with a ViM2 backbone')
    parser.add_argument(
        'images',
        nargs='+',
        type=Path,
        metavar='IMAGE',
        help='the first is drawn; the receptive field is a mean over all',
    )
    parser.add_argument('--checkpoint', help='weights; random where it is left out')
    parser.add_argument('--out', type=Path, required=True, help='folder of the PNGs')
    add_size(parser, '--size', "resize to this instead of the config's test pipeline")
    parser.add_argument(
        '--only', nargs='+', choices=PICTURES, default=PICTURES, help='what to draw'
    )
    parser.add_argument(
        '--every-mixer',
        action='store_true',
        help='delta of every mixer, not only of the last of each kind in each stage',
    )
    add_device(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_sentence():
        check_output(args.out, '--out')
        config = load_config(args.config)
        check_device(args.device)
        model = load_model(config, args.checkpoint).to(args.device)
        pipeline = ImagePipeline(config, args.size, one_view=True)
        inputs = [read_image(model, pipeline, path) for path in args.images]
        images = [image for image, _ in inputs]
        sizes = sorted({tuple(image.shape[1:]) for image in images})
        if len(sizes) > 1:
            raise ValueError(
                f'the images have {len(sizes)} sizes, as {sizes[:2]}, after the test '
                'pipeline, but the '
                'receptive field is a mean over one size: give --size'
            )
        args.out.mkdir(parents=True, exist_ok=True)
        if pipeline.drawn:
            print(f'the image is drawn {pipeline.drawn}')
        for name in args.only:
            lacking = draw(name, model.backbone, images, inputs[0][1], args)
            if lacking:
                print(f'{name} is not drawn: this network has {lacking}')
            else:
                print(f'picture: {args.out / f"{name}.png"}')


if __name__ == '__main__':
    main()
