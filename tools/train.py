"""Train the model of a config: classifier, detector, segmenter or forecaster.

python tools/train.py configs/demo/vim2_digits.py
python tools/train.py CONFIG --work-dir DIR --resume --cfg-options key=value
"""

import argparse
import os

from mmengine.config import Config

import mmmambamixer.patches  # noqa: F401  (safe checkpoints, `mmdet::` bases)
from mmmambamixer.engine.config import (
    add_flags,
    check_output,
    choose_work_dir,
    dataloaders,
    fill_dataloaders,
    load_config,
    run_parser,
    type_name,
)
from mmmambamixer.engine.launch import prepare, train
from mmmambamixer.messages import one_sentence
from mmmambamixer.preflight.config import check_sections

FLAGS = {
    '--deterministic': 'equal runs give equal bits on one machine; some GPU '
    'operations refuse',
    '--amp': 'mixed precision: float16 on a GPU, bfloat16 on the CPU',
    '--no-validate': 'do not validate while training',
    '--auto-scale-lr': 'scale the learning rate by real batch size / base_batch_size '
    'of config',
    '--no-pin-memory': 'switch pinned memory off',
    '--no-persistent-workers': 'start dataloader workers anew each epoch',
}


def parse_args() -> argparse.Namespace:
    parser = run_parser(__doc__.splitlines()[0], 'model.backbone.d_state=8')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a name, from the latest in the work dir',
    )
    add_flags(parser, FLAGS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def make_config(args: argparse.Namespace) -> Config:
    """Return the config with the command line's wishes in it."""
    config = load_config(args.config, args.cfg_options)
    choose_work_dir(config, args.config, args.work_dir)
    config.launcher = args.launcher
    if args.no_validate:
        config.val_cfg = config.val_dataloader = config.val_evaluator = None
    if args.amp:
        use_amp(config)
    if args.resume == '':
        raise ValueError(
            '--resume got an empty name: name a checkpoint, or give --resume alone '
            'for the latest'
        )
    if args.resume:
        config.resume = True
        if args.resume != 'auto':
            config.load_from = args.resume
    if args.deterministic:
        make_deterministic(config)
    if args.auto_scale_lr:
        scale_lr(config)
    fill_dataloaders(config, persistent_workers=True)
    for loader in dataloaders(config):
        if args.no_pin_memory:
            loader.pin_memory = False
        if args.no_persistent_workers:
            loader.persistent_workers = False
    return config


def use_amp(config: Config) -> None:
    check_sections(config, ['optim_wrapper'], '--amp')
    kind = type_name(config.optim_wrapper) or 'OptimWrapper'  # MMEngine's default
    if kind == 'Bfloat16OptimWrapper':
        return
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp turns OptimWrapper into AmpOptimWrapper, got {kind}')
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.optim_wrapper.setdefault('loss_scale', 'dynamic')


def make_deterministic(config: Config) -> None:
    """Fix the seed and refuse operations whose results vary."""
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    config.setdefault('randomness', {})
    config.randomness.deterministic = True
    if config.randomness.get('seed') is None:
        config.randomness.seed = 0


def scale_lr(config: Config) -> None:
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the '
            'config, the batch size that its learning rate is meant for'
        )
    config.auto_scale_lr.enable = True


def main() -> None:
    args = parse_args()
    with one_sentence():
        check_output(args.work_dir, '--work-dir')
        config = make_config(args)
        runner = prepare(config, 'train', auto_resume=args.resume == 'auto')
    train(runner)


if __name__ == '__main__':
    main()
