"""From a config file and command-line options to a config: shared by the tools.

One tool serves mmpretrain, mmdet, mmseg and our forecasters: the config's
`default_scope` says who builds it, and nothing but a few defaults depends on that.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.utils import import_modules_from_strings

from ..messages import LONGEST, cut, explain, innermost
from ..preflight.config import SCOPES, check_kinds, check_option
from ..preflight.series import FORECASTING
from .expressions import resolve

CLASSIFICATION = 'mmpretrain'
"""Scope of mmpretrain."""
STACKED = (CLASSIFICATION, FORECASTING)
"""Scopes whose batches are stacked: the tools say so in every dataloader."""


READERS = ('fromfile', '_is_lazy_import', '_file2dict')
"""Functions of MMEngine that know which file they read."""

SUFFIXES = ('.py', '.json', '.yml', '.yaml')
"""Ends of the names of config files."""


def run_parser(description: str, options: str) -> argparse.ArgumentParser:
    """Return a parser with the options that training and testing share.

    Args:
        description: First line of the help.
        options: Example of what `--cfg-options` may change.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs, checkpoints and metrics')
    add_options(parser, options)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def checkpoint_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser of a config and a checkpoint, with a docstring as its help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file; it must fit exactly')
    return parser


def add_size(parser: argparse.ArgumentParser, option: str, told: str) -> None:
    """Give a parser an option for the height and width of images."""
    parser.add_argument(
        option, nargs=2, type=positive, metavar=('HEIGHT', 'WIDTH'), help=told
    )


def add_flags(parser: argparse.ArgumentParser, flags: Mapping[str, str]) -> None:
    """Give a parser options without values; `flags` maps their names to the help."""
    for option, told in flags.items():
        parser.add_argument(option, action='store_true', help=told)


def add_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Give a parser `--cfg-options`, for `load_config`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help=f'change settings of the config, as in {example}',
    )


def positive(text: str) -> int:
    """Return the number that an option gives; argparse says what else came."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be an integer from 1, got {text}')
    return int(text)


def load_config(path: str | os.PathLike, options: Mapping | None = None) -> Config:
    """Read a config file, merge options and compute what follows from them.

    Args:
        path: Of the file.
        options: From `--cfg-options`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or an option does not fit; the message names
            the file at fault, which may be one of its bases, or the option.
    """
    config = read_config(path)
    merge_options(config, options)
    if any(name.partition('.')[0] == 'custom_imports' for name in options or {}):
        import_modules(config.custom_imports)
    resolve(config)
    check_kinds(config)
    if config.get('default_scope') is None and (scope := scope_of(config)):
        config.default_scope = scope
    return config


def scope_of(config: Config) -> str | None:
    """Return the framework that a model's type comes from; None for one of others.

    Configs with imports name classes and need no default scope; what the tools do for
    each framework depends on it.
    """
    model = config.get('model') or {}
    while isinstance(model.get('module'), Mapping):  # test-time augmentation
        model = model['module']
    kind = model.get('type')
    name = getattr(kind, '__module__', None) if callable(kind) else str(kind)
    package = str(name).partition('.')[0]
    return package if package in SCOPES else None


def type_name(entry: Mapping) -> str:
    """Return the name of the type that an entry of a config has, without its scope."""
    kind = entry.get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def read_config(path: str | os.PathLike) -> Config:
    """Read a config file as it is; see `load_config`."""
    path = str(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no config at {path}')
    if not path.endswith(SUFFIXES):
        raise ValueError(f'a config ends in {", ".join(SUFFIXES)}, got {path}')
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        file = innermost(error, 'filename', *READERS)
        raise ValueError(
            f'{file} is not Python, line {error.lineno}: {error.msg}'
        ) from error
    except Exception as error:  # a config is code, and may raise anything
        file = innermost(error, 'filename', *READERS)
        if isinstance(error, ImportError) and (told := failed_import(error)):
            raise ValueError(f'{file}: {told}') from error
        raise ValueError(
            f'{file} cannot be read as a config: '
            f'{type(error).__name__}, {" ".join(explain(error).split())}'
        ) from error


def failed_import(error: BaseException) -> str:
    """Return which module of `custom_imports` cannot be imported and why, or ''."""
    name = ''
    while True:
        name = innermost(error, 'imp', 'import_modules_from_strings') or name
        if error.__context__ is None:
            break
        error = error.__context__
    told = cut(' '.join(str(error).split()), LONGEST)
    return name and (
        f'custom_imports has {name}, which cannot be imported: '
        f'{type(error).__name__}, {told}; the folder that it lies in must be installed '
        'or in PYTHONPATH'
    )


def import_modules(settings: Mapping) -> None:
    """Import what `custom_imports` names, where an option has changed it.

    Raises:
        ValueError: Names the module that cannot be imported, and why.
    """
    try:
        import_modules_from_strings(**settings)
    except ImportError as error:
        raise ValueError(failed_import(error)) from error


def merge_options(config: Config, options: Mapping | None) -> None:
    """Merge `--cfg-options` into a config.

    Raises:
        ValueError: If an option does not fit the config, or nothing would read it.
    """
    for name in options or {}:
        check_option(config, name)
    try:
        config.merge_from_dict(dict(options or {}))
    except (AssertionError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f'--cfg-options {options} do not fit: {explain(error)}'
        ) from error


class Options(DictAction):
    """`DictAction` that says what is wrong with an option."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if not value.partition('=')[0] or '=' not in value:
                parser.error(f'{option_string} takes KEY=VALUE, got {value}')
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, RecursionError):  # of brackets that are no list
            parser.error(
                f'{option_string} takes numbers, texts and lists of them, got '
                f'{cut(" ".join(values), LONGEST)}; give the entries of a dict one by '
                'one, as train_cfg.max_epochs=3'
            )


def check_output(path: str | os.PathLike | None, option: str) -> None:
    """Raise ValueError unless a folder can be written to, or made.

    Args:
        path: Of the folder; None passes.
        option: That names it.
    """
    if path is None:
        return
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f'{option} is a folder for the results, got the file {folder}')
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f'{option} is {path}, and {folder} cannot be written to')


def choose_work_dir(config: Config, path: str, work_dir: str | None) -> None:
    """Set `work_dir`: from the command line, else the config, else the file's name.

    That of a forecaster ends in its horizon, which is often an option.
    """
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        horizon = (config.get('model') or {}).get('horizon')
        name = Path(path).stem + (f'-{horizon}' if horizon else '')
        config.work_dir = os.path.join('work_dirs', name)


def fill_dataloaders(config: Config, **defaults) -> None:
    """Give dataloaders of classifiers and forecasters the defaults of their tools.

    Their models need batches stacked by `default_collate`; in the other scopes a
    config says everything itself.

    Args:
        config: Changed in place; what it says already stays.
        **defaults: Further defaults, such as `persistent_workers=True`.
    """
    if config.get('default_scope') not in STACKED:
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
