"""Count parameters and FLOPs of the model of a config, the selective scans included.

python tools/analysis_tools/get_flops.py CONFIG --shape 224 224
"""

import argparse

import torch
from mmengine.analysis import get_model_complexity_info
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
        result = get_model_complexity_info(
            model, inputs=(image,), show_table=args.layers
        )
    if args.layers:
        print(result['out_table'])
    height, width = args.shape
    print(f'{counted} of {args.config}, image {channels} x {height} x {width}')
    print(f'parameters: {result["params"] / 1e6:.2f} M')
    print(f'FLOPs:      {result["flops"] / 1e9:.3f} G (multiply-add is one)')


if __name__ == '__main__':
    main()
