"""Count parameters and FLOPs of the model of a config, the selective scans included.

python tools/analysis_tools/get_flops.py CONFIG
python tools/analysis_tools/get_flops.py CONFIG --shape HEIGHT WIDTH

Counted is what the tools of the frameworks count: the forward of the whole model on one
image, without post-processing. That is, a classifier with its head; a segmentor without
its auxiliary head; a detector with its heads, those of the regions on as many proposals
as its test configuration lets through (1000 for Mask R-CNN; its mask head on the first
100, the mask heads of a cascade on all). A multiply-add counts as one. RoIAlign and NMS
of mmcv count as nothing, there and here.
"""

import argparse
from collections.abc import Mapping
from functools import partial

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.analysis.print_helper import complexity_stats_table
from torch import nn

import mmmambamixer.patches  # noqa: F401  (`mmdet::` bases)
from mmmambamixer.engine.build import build_model
from mmmambamixer.engine.config import add_size, load_config
from mmmambamixer.messages import one_sentence
from mmmambamixer.preflight.model import input_channels

SHAPES = {'mmpretrain': (224, 224), 'mmdet': (800, 1280), 'mmseg': (512, 2048)}
"""Height and width for which the papers and pages of each framework state FLOPs."""


def analyze(model: nn.Module, scope: str, shape: tuple[int, int]) -> FlopAnalyzer:
    """Return the analysis of the model's forward on one random image.

    Args:
        model: Put into eval mode, without gradients: no maps are kept.
        scope: Framework of the model; detectors get the meta data of their image.
        shape: Height and width.
    """
    model.eval().requires_grad_(False)
    channels = input_channels(model) or 3
    image = torch.rand(1, channels, *shape)
    if scope == 'mmdet':
        model.forward = partial(model.forward, data_samples=[detection_sample(shape)])
    flops = FlopAnalyzer(model, (image,))
    return flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)


def detection_sample(shape: tuple[int, int]):
    from mmdet.structures import DetDataSample

    sizes = dict.fromkeys(
        ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape
    )
    return DetDataSample(metainfo=dict(sizes, scale_factor=(1.0, 1.0)))


def millions(module: nn.Module) -> str:
    return f'{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M'


def billions(count: float) -> str:
    return f'{count / 1e9:.3f} G'


def scans(by_operator: Mapping[str, float]) -> float:
    return sum(count for op, count in by_operator.items() if 'selective_scan' in op)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    add_size(
        parser,
        '--shape',
        'of the image; 224 224, 800 1280 or 512 2048 as the framework counts',
    )
    parser.add_argument('--layers', action='store_true', help='table of the layers too')
    args = parser.parse_args()
    with one_sentence():
        config = load_config(args.config)
        scope = config.get('default_scope') or 'mmengine'
        model = build_model(config)
        height, width = args.shape or SHAPES.get(scope, (224, 224))
        flops = analyze(model, scope, (height, width))
        total, backbone = flops.total(), flops.by_module()['backbone']
    if args.layers:
        print(complexity_stats_table(flops=flops))
    print(f'{type(model).__name__} of {args.config}, image {height} x {width}')
    print(f'parameters: {millions(model)}, backbone {millions(model.backbone)}')
    print(
        f'FLOPs:      {billions(total)}, backbone {billions(backbone)}, '
        f'of them selective scans {billions(scans(flops.by_operator()))} '
        '(at 9 l d n + l d each; a multiply-add is one)'
    )


if __name__ == '__main__':
    main()
