"""From a config file and command-line options to a runner: shared by the tools.

One tool serves mmpretrain, mmdet and mmseg: the config's `default_scope` says which
framework builds it, and nothing but a few defaults depends on that.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import RUNNERS

from .check_model import check_channels, check_num_classes
from .cpu_ranks import check_norms, join_ranks
from .samples import inner_datasets, watch_samples

CLASSIFICATION = 'mmpretrain'
"""Scope whose tools add defaults to every dataloader."""

EMPTY = 'need at least one array to concatenate'
"""What MMEngine says when it packs a data set without images."""

AT_FAULT = (ValueError, TypeError, KeyError, FileNotFoundError, RuntimeError)


def run_parser(description: str, options: str) -> argparse.ArgumentParser:
    """Return a parser with the options that training and testing share.

    Args:
        description: First line of the help.
        options: Example of what `--cfg-options` may change.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs, checkpoints and metrics')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=f'change settings of the config, as in {options}',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


@contextmanager
def one_sentence(errors: type[Exception] | tuple[type[Exception], ...] = AT_FAULT):
    """End the program with one sentence where what the user gave is at fault.

    `MMMAMBAMIXER_TRACEBACK=1` shows where the error was raised.

    Args:
        errors: Those that end so. By default many, for the phase in which a config
            becomes a runner: there they are about names, files and arguments.
    """
    try:
        yield
    except errors as error:
        if os.environ.get('MMMAMBAMIXER_TRACEBACK') == '1':
            raise
        message = error.args[0] if isinstance(error, KeyError) else error
        raise SystemExit(f'error: {message}') from error


def load_config(path: str) -> Config:
    """Read a config file.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no config at {path}')
    return Config.fromfile(path)


def merge_options(config: Config, options: Mapping | None) -> None:
    """Merge `--cfg-options` into a config.

    Raises:
        ValueError: If an option does not fit the config.
    """
    try:
        config.merge_from_dict(dict(options or {}))
    except (AssertionError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f'--cfg-options {options} do not fit: {error}') from error


def choose_work_dir(config: Config, path: str, work_dir: str | None) -> None:
    """Set `work_dir`: from the command line, else the config, else the file's name."""
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = os.path.join('work_dirs', Path(path).stem)


def fill_dataloaders(config: Config, **defaults) -> None:
    """Give classification dataloaders the defaults of mmpretrain's tools.

    Its models need batches stacked by `default_collate`; in the other scopes a config
    says everything itself.

    Args:
        config: Changed in place; what it says already stays.
        **defaults: Further defaults, such as `persistent_workers=True`.
    """
    if config.get('default_scope') != CLASSIFICATION:
        return
    defaults = dict(
        collate_fn=dict(type='default_collate'),
        pin_memory=torch.cuda.is_available(),
        **defaults,
    )
    for loader in dataloaders(config):
        for key, value in defaults.items():
            if key == 'persistent_workers' and loader.get('num_workers', 0) == 0:
                value = False
            loader.setdefault(key, value)


def dataloaders(config: Config) -> Iterator[ConfigDict]:
    """Yield the dataloaders of a config; a list of them one by one."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        value = config.get(key)
        if value is not None:
            yield from value if isinstance(value, (list, tuple)) else [value]


def require_gpu_for_amp(config: Config) -> None:
    """Raise if mixed precision is asked for where MMEngine has none.

    Raises:
        ValueError: If the optimiser wrapper is `AmpOptimWrapper` and there is no GPU.
    """
    kind = str((config.get('optim_wrapper') or {}).get('type', ''))
    if 'AmpOptimWrapper' in kind and not torch.cuda.is_available():
        raise ValueError(
            'mixed precision (--amp, AmpOptimWrapper) needs a GPU in MMEngine and '
            'torch sees none here: leave out --amp, or make the optim_wrapper of the '
            'config an OptimWrapper without dtype and loss_scale'
        )


def build_runner(config: Config):
    """Build the config's runner; `PlainCheckpointRunner` where it names none.

    Raises:
        ValueError: If neck or heads do not fit the backbone.
    """
    config.setdefault('runner_type', 'PlainCheckpointRunner')
    join_ranks(config)
    runner = RUNNERS.build(config)
    check_norms(config, runner.model)
    check_channels(runner.model)
    return runner


def open_data(runner, *parts: str) -> None:
    """Open the data sets of the runner's loops and check them against the model.

    From then on an unusable file raises `UnusableSample`, which names it.

    Args:
        runner: From `build_runner`.
        *parts: 'train', 'val' or 'test'; those that the config leaves out are skipped.

    Raises:
        ValueError: If a data set is empty, or the model has another number of classes.
    """
    for part in parts:
        key = f'{part}_dataloader'
        try:
            loop = getattr(runner, f'{part}_loop')
        except ValueError as error:
            if EMPTY not in str(error):
                raise
            raise ValueError(f'{key} has no image that its filters let pass') from error
        if loop is None:
            continue
        if len(loop.dataloader) == 0:
            raise ValueError(
                f'{key} makes no batch of {len(loop.dataloader.dataset)} images'
            )
        for dataset in inner_datasets(loop.dataloader.dataset):
            classes = getattr(dataset, 'metainfo', {}).get('classes')
            if classes:
                check_num_classes(runner.model, classes, key)
        watch_samples(loop.dataloader.dataset)
