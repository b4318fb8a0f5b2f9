"""Test a trained model: classifier, detector, segmenter or forecaster.

python tools/test.py CONFIG CHECKPOINT
python tools/test.py CONFIG CHECKPOINT --out metrics.json --out-item metrics
"""

import argparse
import os
from copy import deepcopy

import mmengine
from mmengine.config import Config
from mmengine.registry import METRICS

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine.config import (
    CLASSIFICATION,
    check_output,
    choose_work_dir,
    fill_dataloaders,
    load_config,
    positive,
    run_parser,
)
from mmmambamixer.engine.launch import prepare, repeat_warnings
from mmmambamixer.inference.steps import has_views, test_dataset
from mmmambamixer.inference.views import check_merged, wrap
from mmmambamixer.messages import one_sentence
from mmmambamixer.preflight.config import check_sections
from mmmambamixer.preflight.data.samples import UnusableSample

OUT_SUFFIXES = dict(
    pred=('.pkl', '.pickle'), metrics=('.json', '.yaml', '.yml', '.pkl', '.pickle')
)
DUMPS = dict(mmdet='mmdet.DumpDetResults')
"""Metrics that write predictions, by scope; MMEngine's `DumpResults` else."""
META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')


def parse_args() -> argparse.Namespace:
    parser = run_parser(__doc__.splitlines()[0], 'test_dataloader.batch_size=8')
    parser.add_argument('checkpoint', help='checkpoint file; it must fit exactly')
    parser.add_argument('--out', help='file for the predictions (.pkl) or the metrics')
    parser.add_argument(
        '--out-item',
        choices=OUT_SUFFIXES,
        default='pred',
        help='what to write to --out; metrics go to .json, .yaml or .pkl',
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument(
        '--interval', type=positive, default=1, help='draw every n-th image only'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation; where the config is silent, classifiers and '
        'detectors see the mirror image too',
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def make_config(args: argparse.Namespace) -> Config:
    """Return the config with the command line's wishes in it.

    Options are merged before `--tta` wraps the model and changes its pipeline.
    """
    config = load_config(args.config, args.cfg_options)
    choose_work_dir(config, args.config, args.work_dir)
    config.launcher = args.launcher
    config.resume, config.load_from = False, args.checkpoint
    if args.show_dir:
        draw_predictions(config, args.show_dir, args.interval, args.tta)
    if args.tta:
        use_tta(config)
    fill_dataloaders(config)
    return config


def draw_predictions(config: Config, folder: str, interval: int, tta: bool) -> None:
    hook = config.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show-dir needs a visualization hook in the default_hooks of the config'
        )
    # The classification hook has an absolute folder of its own; the two others put
    # theirs below the work dir.
    if config.get('default_scope') == CLASSIFICATION:
        if tta:
            raise ValueError(
                "mmpretrain's drawing hook cannot show --tta batches: leave out "
                '--show-dir or --tta'
            )
        hook.update(enable=True, out_dir=folder, interval=interval)
    else:
        hook.update(draw=True, interval=interval)
        if config.default_scope == 'mmdet':
            if interval != 1:
                raise ValueError(
                    "mmdet's hook draws every test image: leave --interval out"
                )
            hook.test_out_dir = folder
        else:
            config.visualizer.save_dir = folder


def use_tta(config: Config) -> None:
    """Wrap the model for test-time augmentation and change the pipeline for it."""
    check_sections(config, ['model', 'test_dataloader'], '--tta')
    scope, dataset = config.get('default_scope'), test_dataset(config)
    if not has_views(config):
        if scope == CLASSIFICATION:
            config.setdefault('tta_pipeline', flip_pipeline(dataset.pipeline))
        elif scope == 'mmdet':
            keys = dict(meta_keys=(*META_KEYS, 'flip', 'flip_direction'))
            config.setdefault('tta_pipeline', flip_pipeline(dataset.pipeline, **keys))
        check_sections(config, ['tta_pipeline'], '--tta')
        dataset.pipeline = config.tta_pipeline
    wrap(config)


def flip_pipeline(pipeline: list[dict], **pack_options) -> list[dict]:
    """Return a test pipeline, run on the image and on its mirror image."""
    *load, pack = deepcopy(pipeline)
    pack.update(pack_options)
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    return [*load, dict(type='TestTimeAug', transforms=[flips, [pack]])]


def check_out(path: str | None, item: str) -> None:
    if path and not path.endswith(OUT_SUFFIXES[item]):
        kinds = ', '.join(OUT_SUFFIXES[item])
        raise ValueError(f'--out for --out-item {item} ends in {kinds}, got {path}')
    if path:
        check_output(os.path.dirname(path) or '.', '--out')


def main() -> None:
    args = parse_args()
    with one_sentence():
        check_out(args.out, args.out_item)
        check_output(args.show_dir, '--show-dir')
        check_output(args.work_dir, '--work-dir')
        config = make_config(args)
        runner = prepare(config, 'test')
        check_merged(runner.model, '--tta')
    if args.out and args.out_item == 'pred':
        dump = dict(type=DUMPS.get(config.default_scope, 'DumpResults'))
        dump = METRICS.build(dict(dump, out_file_path=args.out))
        runner.test_evaluator.metrics.append(dump)
    with one_sentence((UnusableSample, ImportError)):
        metrics = runner.test()
    repeat_warnings(runner)
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
