"""From a config file and command-line options to a runner: shared by the tools.

One tool serves mmpretrain, mmdet and mmseg: the config's `default_scope` says which
framework builds it, and nothing but a few defaults depends on that.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS

CLASSIFICATION = 'mmpretrain'
"""Scope whose tools add defaults to every dataloader."""


@contextmanager
def one_sentence():
    """End the program with one sentence where what the user gave is at fault.

    For the phase in which a config becomes a runner: there these errors are about
    names, files and arguments. `MMMAMBAMIXER_TRACEBACK=1` shows where they were raised.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, FileNotFoundError, RuntimeError) as error:
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


def check_data(config: Config, *keys: str) -> None:
    """Raise unless the folders that the dataloaders `keys` read exist and hold files.

    Raises:
        FileNotFoundError: Names the folder and the dataloader.
    """
    for key in keys:
        loader = config.get(key)
        for part in loader if isinstance(loader, (list, tuple)) else [loader]:
            dataset = (part or {}).get('dataset') or {}
            for folder in _folders(dataset):
                if not os.path.isdir(folder):
                    raise FileNotFoundError(f'no data folder {folder}, named by {key}')
                if not any(os.scandir(folder)):
                    raise FileNotFoundError(
                        f'the data folder {folder}, named by {key}, is empty'
                    )


def _folders(dataset: Mapping) -> Iterator[str]:
    if isinstance(dataset.get('dataset'), Mapping):  # RepeatDataset and the like
        yield from _folders(dataset['dataset'])
    for inner in dataset.get('datasets', []):  # ConcatDataset
        yield from _folders(inner)
    root = dataset.get('data_root') or ''
    if '://' in root:
        return
    if root:
        yield root
    prefix = dataset.get('data_prefix')
    for value in prefix.values() if isinstance(prefix, Mapping) else [prefix]:
        if isinstance(value, str) and value and '://' not in value:
            yield os.path.join(root, value)


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
    """Build the config's runner; `PlainCheckpointRunner` where it names none."""
    config.setdefault('runner_type', 'PlainCheckpointRunner')
    return RUNNERS.build(config)
