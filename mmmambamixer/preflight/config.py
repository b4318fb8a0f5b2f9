"""Whether a config has the parts and numbers that a run needs, before it is built."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Real
from typing import Any

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ..messages import LONGEST, cut, did_you_mean, few, names_in

RUNNER = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
"""What a runner reads at the top of a config."""
OTHERS = {
    'runner_type',
    'load_except',
    'custom_imports',
    'tta_model',
    'tta_pipeline',
    'model_wrapper_cfg',
    'find_unused_parameters',
    'sync_bn',
    'compile',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'resource_limit',
}
"""What else is read there."""
ALIKE = 0.88
"""Names of a config that are so alike to one of the runner's are misspelt."""

TRAIN = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
KINDS = ('dataloader', 'cfg', 'evaluator')
"""Sections that each part has; training has no evaluator."""
SEVERAL = ('dataloader', 'evaluator')
"""Sections of which there may be several, in a list."""
INNER = {'dataset', 'sampler', 'batch_sampler', 'paramwise_cfg', 'backbone', 'head'}
"""Parts of sections that are dicts."""
PARTS = {
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
SECTIONS = (
    *('model', 'data_preprocessor', 'optim_wrapper', 'default_hooks', 'env_cfg'),
    *(f'{part}_{key}' for part in ('train', 'val', 'test') for key in KINDS),
    *('visualizer', 'log_processor', 'randomness', 'auto_scale_lr'),
)
"""Sections that are dicts."""
PARAMWISE = (
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult'),
    *('flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult'),
    *('bypass_duplicate', 'decay_rate', 'decay_type', 'num_layers'),
    *('layer_decay_rate',),
)
"""What the constructors of optimisers read of `paramwise_cfg`."""
CONSTRUCTOR = 'DefaultOptimWrapperConstructor'
DECAYS = ('norm_decay_mult', 'bias_decay_mult', 'dwconv_decay_mult')
"""What this constructor, which is the default, multiplies with `weight_decay`."""
CLIPS = dict(norm=clip_grad_norm_, value=clip_grad_value_)
"""What MMEngine gives `clip_grad` to."""
ENDLESS = ('InfiniteSampler', 'MultiSourceSampler')
"""Samplers that are made for loops by iterations."""
SCOPES = ('mmpretrain', 'mmdet', 'mmseg', 'mmmambamixer')


def check_config(config: Config, part: str) -> None:
    """Raise unless a config says all that a training or a test needs.

    Args:
        config: With the options of the command line.
        part: 'train' or 'test'.

    Raises:
        ValueError: Names what is missing or misspelt, or the number that is wrong.
    """
    check_names(config)
    if part == 'train':
        check_sections(config, TRAIN, 'training')
        check_length(config.train_cfg)
        check_batch_size(config.train_dataloader)
        check_head(config.model)
        check_end(config)
        check_optimizer(config)
        check_paramwise(config.optim_wrapper)
        check_clipping(config.optim_wrapper.get('clip_grad'))
        check_interval(config)
        check_window(config)
        given = [key for key in PARTS['val'] if config.get(key) is not None]
        if given:
            check_sections(config, PARTS['val'], f'validating, for it has {given[0]},')
    else:
        check_sections(config, ('model', *PARTS['test']), 'testing')


def check_kinds(config: Mapping) -> None:
    """Raise ValueError if a section is no dict, as an option may have made it."""
    for name, value in sections(config):
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(
                f'{name} must be a dict, got {cut(repr(value), LONGEST)}; '
                '--cfg-options takes the entries of a dict one by one, as '
                'train_cfg.max_epochs=3'
            )


def sections(config: Mapping) -> Iterator[tuple[str, Any]]:
    """Yield the names of what must be dicts, and what is there."""
    for key in SECTIONS:
        value = config.get(key)
        several = isinstance(value, (list, tuple)) and key.endswith(SEVERAL)
        for part in value if several else [value]:
            yield key, part
            if isinstance(part, Mapping):
                inner = part if key == 'default_hooks' else INNER & part.keys()
                yield from ((f'{key}.{name}', part[name]) for name in inner)


def check_names(config: Mapping) -> None:
    """Raise ValueError if a name at the top is a misspelt one of the runner's."""
    scope = config.get('default_scope')
    if scope is not None and (not isinstance(scope, str) or find_spec(scope) is None):
        raise ValueError(
            f'default_scope must be an installed package, got {scope!r}'
            + did_you_mean(scope, SCOPES)
        )
    for key in config:
        close = get_close_matches(key, RUNNER, n=1, cutoff=ALIKE)
        if close and key not in RUNNER | OTHERS:
            raise ValueError(
                f"the config has '{key}', which nothing reads; did you mean "
                f"'{close[0]}'? (A variable of your own needs another name.)"
            )


def check_option(config: Mapping, name: str) -> None:
    """Raise ValueError if an option's name is a misspelt one, which nothing reads.

    Args:
        config: Before the option is merged.
        name: Keys and places of lists, with dots between.
    """
    top, *rest = name.split('.')
    if top not in config and top not in RUNNER | OTHERS:
        raise ValueError(
            f"--cfg-options has '{name}', but the config has no '{top}'"
            + did_you_mean(top, [*config, *RUNNER, *OTHERS])
        )
    part = config.get(top)
    for key in rest:
        if isinstance(part, (list, tuple)) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        elif isinstance(part, Mapping) and key in part:
            part = part[key]
        else:
            break
    else:
        return
    if isinstance(part, Mapping) and 'type' not in part:  # types know their arguments
        close = get_close_matches(key, part, n=1, cutoff=ALIKE)
        if close and re.sub(r'\d', '', key) != re.sub(r'\d', '', close[0]):
            raise ValueError(
                f"--cfg-options has '{name}', but there is no '{key}'; did you mean "
                f"'{close[0]}'?"
            )


def check_sections(config: Mapping, keys: Iterable[str], use: str) -> None:
    """Raise ValueError unless a config has these parts."""
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise ValueError(f'the config has no {", ".join(missing)}; {use} needs it')


def check_length(train_cfg: Mapping) -> None:
    """Raise ValueError if a training would have no iteration, or a broken interval."""
    for key in ('max_epochs', 'max_iters', 'val_begin', 'val_interval'):
        value = train_cfg.get(key)
        if value is None:
            continue
        whole = isinstance(value, Real) and value % 1 == 0  # 1e3 is one
        least = int(key != 'val_begin')
        if not whole or value < least:
            expected = f'at least {least}' if whole else 'a whole number'
            raise ValueError(f'train_cfg.{key} must be {expected}, got {value!r}')


def check_batch_size(loader: Mapping) -> None:
    """Raise ValueError if a dataloader is to give samples instead of batches."""
    if 'batch_size' in loader and loader['batch_size'] is None:
        raise ValueError(
            'train_dataloader.batch_size must be an integer from 1, got None'
        )


def check_head(model: Mapping) -> None:
    """Raise ValueError if a classifier has nothing to train."""
    if 'ImageClassifier' in str(model.get('type')) and model.get('head') is None:
        raise ValueError(
            'model.head is missing: a classifier needs it to be trained, as '
            'dict(type="LinearClsHead", ...)'
        )


def check_end(config: Config) -> None:
    """Raise ValueError if an epoch would have no end."""
    kind = str((config.train_dataloader.get('sampler') or {}).get('type'))
    by_epoch = config.train_cfg.get('by_epoch') or 'EpochBased' in str(
        config.train_cfg.get('type')
    )
    if by_epoch and any(name in kind for name in ENDLESS):
        raise ValueError(
            f'train_dataloader.sampler {kind} never ends, so that the first epoch of '
            'train_cfg has no end: take DefaultSampler, or IterBasedTrainLoop with '
            'max_iters'
        )


def check_optimizer(config: Config) -> None:
    """Raise ValueError unless there is an optimiser of the config's name."""
    optimizer = config.optim_wrapper.get('optimizer')
    if optimizer is not None:
        if not isinstance(optimizer, Mapping) or 'type' not in optimizer:
            raise ValueError(
                f'optim_wrapper.optimizer must be a dict with a type, got {optimizer!r}'
            )
        for name in ('lr', 'weight_decay'):
            value = optimizer.get(name, 0)
            if isinstance(value, str):  # as YAML reads 1e-3
                raise ValueError(
                    f'optim_wrapper.optimizer.{name} must be a number, got the text '
                    f"'{value}'; YAML takes 1.0e-3 for a number, not 1e-3"
                )
        kind = optimizer['type']
        with OPTIMIZERS.switch_scope_and_registry(config.get('default_scope')) as known:
            if isinstance(kind, str) and known.get(kind) is None:
                raise ValueError(
                    f"there is no optimiser '{kind}'"
                    + did_you_mean(kind, names_in(OPTIMIZERS))
                )


def check_paramwise(wrapper: Mapping) -> None:
    """Raise ValueError if `paramwise_cfg` has a misspelt name, or scales no decay."""
    given = wrapper.get('paramwise_cfg') or {}
    for name in given:
        close = get_close_matches(name, PARAMWISE, n=1, cutoff=ALIKE)
        if close and name not in PARAMWISE:
            raise ValueError(
                f"optim_wrapper.paramwise_cfg has '{name}', which nothing reads; did "
                f"you mean '{close[0]}'?"
            )
    scaled = next((name for name in DECAYS if name in given), None)
    own = wrapper.get('constructor', CONSTRUCTOR) != CONSTRUCTOR
    optimizer = wrapper.get('optimizer')
    if scaled and not own and optimizer and optimizer.get('weight_decay') is None:
        raise ValueError(
            f'optim_wrapper.paramwise_cfg has {scaled}, but the optimizer has no '
            'weight_decay to multiply: set optim_wrapper.optimizer.weight_decay'
        )


def check_clipping(given) -> None:
    """Raise ValueError unless `clip_grad` has the arguments of torch's function."""
    if not isinstance(given, Mapping):
        return  # None, or MMEngine says what it must be
    clip = CLIPS.get(given.get('type', 'norm'))
    if clip is None:
        return
    known = list(inspect.signature(clip).parameters)[1:]
    least = known[0]
    for name in given:
        if name not in (*known, 'type'):
            raise ValueError(
                f"optim_wrapper.clip_grad has '{name}', which {clip.__name__} does not "
                f'take: expected {few(known)}{did_you_mean(name, known)}'
            )
    value = given.get(least)
    if not isinstance(value, Real) or not float(value) > 0:
        raise ValueError(
            f'optim_wrapper.clip_grad.{least} must be a positive number, got {value!r}'
        )


def check_interval(config: Config) -> None:
    """Raise ValueError if checkpoints are asked for every 0 epochs, or every 'x'."""
    hooks = config.get('default_hooks') or {}
    interval = (hooks.get('checkpoint') or {}).get('interval', 1)
    if interval == 0 or not isinstance(interval, Real):
        raise ValueError(
            'default_hooks.checkpoint.interval must be at least 1, or -1 for no '
            f'checkpoint, got {interval!r}'
        )


def check_window(config: Config) -> None:
    """Raise ValueError if the log is asked for means over 0 iterations, or over 'x'."""
    window = (config.get('log_processor') or {}).get('window_size', 1)
    if not isinstance(window, int) or window < 1:
        raise ValueError(
            'log_processor.window_size, the iterations over which the log takes a '
            f'mean, must be an integer of at least 1, got {window!r}'
        )
