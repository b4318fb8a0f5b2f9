"""Test a trained model of a config: mmpretrain, mmdet or mmseg, as its scope says.

python tools/test.py CONFIG CHECKPOINT
python tools/test.py CONFIG CHECKPOINT --out metrics.json --out-item metrics
"""

import argparse
import os
from copy import deepcopy

import mmengine
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.evaluator import DumpResults
from mmengine.runner.checkpoint import CheckpointLoader

import mmmambamixer.compat  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine import check_state_dict
from mmmambamixer.engine.run_config import (
    CLASSIFICATION,
    build_runner,
    check_data,
    choose_work_dir,
    fill_dataloaders,
    load_config,
    merge_options,
    one_sentence,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; it must fit exactly')
    parser.add_argument('--work-dir', help='folder of logs and metrics')
    parser.add_argument('--out', help='file for the predictions (.pkl) or the metrics')
    parser.add_argument(
        '--out-item',
        choices=['pred', 'metrics'],
        default='pred',
        help='what to write to --out; metrics go to .json, .yaml or .pkl',
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th image only'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation; classification flips where the config is silent',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as in test_dataloader.batch_size=8',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def make_config(args: argparse.Namespace) -> Config:
    """Return the config with the command line's wishes in it; options come last."""
    config = load_config(args.config)
    choose_work_dir(config, args.config, args.work_dir)
    config.launcher = args.launcher
    config.resume, config.load_from = False, args.checkpoint
    if args.show_dir:
        draw_predictions(config, args.show_dir, args.interval, args.tta)
    if args.tta:
        use_tta(config)
    fill_dataloaders(config)
    merge_options(config, args.cfg_options)
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
            raise ValueError("mmpretrain's drawing hook cannot show --tta batches")
        hook.update(enable=True, out_dir=folder, interval=interval)
    else:
        hook.update(draw=True, interval=interval)
        if config.default_scope == 'mmdet':
            hook.test_out_dir = folder
        else:
            config.visualizer.save_dir = folder


def use_tta(config: Config) -> None:
    """Wrap the model for test-time augmentation and change the pipeline for it."""
    if config.get('default_scope') == CLASSIFICATION:
        config.setdefault('tta_model', dict(type='mmpretrain.AverageClsScoreTTA'))
        config.setdefault('tta_pipeline', flip_pipeline(config))
    if 'tta_model' not in config or 'tta_pipeline' not in config:
        raise ValueError('--tta needs tta_model and tta_pipeline in the config')
    config.model = ConfigDict(**config.tta_model, module=config.model)
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = config.tta_pipeline


def flip_pipeline(config: Config) -> list[dict]:
    """Return the test pipeline, run on the image and on its mirror image."""
    *load, pack = deepcopy(config.test_dataloader.dataset.pipeline)
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    return [*load, dict(type='TestTimeAug', transforms=[flips, [pack]])]


def main() -> None:
    args = parse_args()
    with one_sentence():
        config = make_config(args)
        check_data(config, 'test_dataloader')
        checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu')
        runner = build_runner(config)
        check_state_dict(runner.model, checkpoint, args.checkpoint)
        _ = runner.test_loop  # opens the data set
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
