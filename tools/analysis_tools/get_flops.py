"""Count parameters and FLOPs of the model of a config, the selective scans included.

python tools/analysis_tools/get_flops.py CONFIG --shape 224 224
"""

import argparse

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.analysis.print_helper import complexity_stats_table
from mmengine.registry import MODELS, init_default_scope

import mmmambamixer.compat  # noqa: F401  (`mmdet::` bases)
from mmmambamixer.engine.run_config import CLASSIFICATION, load_config, one_sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape', type=int, nargs=2, default=(224, 224), metavar=('HEIGHT', 'WIDTH')
    )
    parser.add_argument('--layers', action='store_true', help='table of the layers too')
    args = parser.parse_args()
    with one_sentence():
        config = load_config(args.config)
        init_default_scope(config.get('default_scope', 'mmengine'))
        model = MODELS.build(config.model).eval()
        # Heads of detection and segmentation want meta data: their backbone is counted.
        counted = 'model'
        if config.get('default_scope') != CLASSIFICATION:
            model, counted = model.backbone, 'backbone'
        channels = getattr(model, 'in_channels', None) or 3
        image = torch.zeros(1, channels, *args.shape)
        flops = FlopAnalyzer(model, (image,))
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        scans = sum(
            count for op, count in flops.by_operator().items() if 'selective_scan' in op
        )
    if args.layers:
        print(complexity_stats_table(flops=flops))
    height, width = args.shape
    parameters = sum(p.numel() for p in model.parameters())
    print(f'{counted} of {args.config}, image {channels} x {height} x {width}')
    print(f'parameters: {parameters / 1e6:.2f} M')
    print(
        f'FLOPs:      {flops.total() / 1e9:.3f} G (a multiply-add is one), '
        f'{scans / 1e9:.3f} G of them in selective scans, at 9 b l d n + b l d each'
    )


if __name__ == '__main__':
    main()
