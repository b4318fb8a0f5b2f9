"""Weights that a run starts from: all of them fit, or nothing is trained.

MMEngine loads what fits and logs the rest, so that a checkpoint of another network
trains from random weights. Here `load_from` must have exactly the tensors of the model,
but for the parts that a config says start anew:

    load_from = 'classifier.pth'
    load_except = ['head.fc']

A run that goes on (`resume`) takes everything, whatever `load_except` says.
"""

from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from ..checkpoints.compare import (
    RESHAPED,
    UNEXPECTED,
    Fault,
    check_numbers,
    compare,
    first,
    tell,
    weights_of,
)
from ..checkpoints.fit import ELSE, misfits, refuse, state_dict_of
from ..messages import did_you_mean
from ..wrappers import unwrapped

OF_A_RUN = ('meta', 'message_hub', 'optimizer')
"""What a checkpoint needs besides its weights for a run to go on."""


def check_loaded(
    runner: Runner, checkpoint: Mapping, name: str, trains: bool | None = None
) -> list[str]:
    """Raise unless a checkpoint fits the runner's model, up to `load_except`.

    Args:
        runner: The runner.
        checkpoint: What was loaded.
        name: Its name in the message.
        trains: Whether this is for training; if None the runner's loops tell.

    Returns:
        The parts of the model that start anew.

    Raises:
        ValueError: Names what does not fit, and how to say that it need not.
    """
    if runner._resume:
        lacking = [key for key in OF_A_RUN if key not in checkpoint]
        if lacking:
            raise ValueError(
                f'{name} holds no {", ".join(lacking)}, so a run cannot go on from '
                'it; for a new run that starts from its weights set load_from'
            )
        refuse(runner.model, misfits(runner.model, checkpoint, name), name)
        return []
    if trains is None:
        trains = isinstance(runner._train_loop, BaseLoop)
    faults = misfits(runner.model, checkpoint, name)
    if not trains:
        refuse(runner.model, faults, name)
        return []
    anew = parts_anew(runner.cfg.get('load_except'), unwrapped(runner.model))
    faults = [fault for fault in faults if not belongs(fault.name, anew)]
    refuse(runner.model, faults, name, hint(runner.model, checkpoint, faults, name))
    if anew:
        print_log(f'{name}: start anew: {first(anew)}', 'current')
    return anew


def parts_anew(names: str | list[str] | None, model: nn.Module) -> list[str]:
    """Return the entries of `load_except`.

    Raises:
        ValueError: If one is no part of the model, or they are the whole of it.
    """
    names = [names] if isinstance(names, str) else list(names or ())
    tensors = list(model.state_dict())
    known = {name for name, _ in model.named_modules()} | {*tensors}
    for name in names:
        if not any(belongs(key, [name]) for key in tensors):
            raise ValueError(
                f"load_except has '{name}', which is no part of this "
                f'{type(model).__name__}{did_you_mean(name, known)}'
            )
    if names and all(belongs(key, names) for key in tensors):
        raise ValueError(
            f'load_except {names} leaves nothing to load: leave out load_from instead'
        )
    return names


def belongs(key: str, parts: list[str]) -> bool:
    """Return whether a tensor is one of these parts, or within one."""
    return any(f'{key}.'.startswith(f'{part.rstrip(".")}.') for part in parts)


def hint(model: nn.Module, checkpoint: Mapping, faults: list[Fault], name: str) -> str:
    """Return how to start from a checkpoint that fits in part; the end of a line."""
    modules = sorted({fault.name.rpartition('.')[0] for fault in faults})
    in_heads = all(
        any(part.endswith('head') for part in module.split('.')) for module in modules
    )
    if in_heads and all(fault.kind == RESHAPED for fault in faults):
        return f'; to train these parts anew, set load_except={modules}'
    state = state_dict_of(checkpoint, name)
    backbone = getattr(unwrapped(model), 'backbone', None)
    for prefix in ('backbone.', '') if backbone is not None else ():
        cut = len(prefix)
        given = {key[cut:]: item for key, item in state.items() if key[:cut] == prefix}
        if all(
            fault.kind == UNEXPECTED or fault.name.startswith('norm')
            for fault in compare(backbone.state_dict(), given)
        ):
            told = f", prefix='{prefix}'" if prefix else ''
            return (
                '; to start the backbone alone from it, leave out load_from and set '
                "model.backbone.init_cfg=dict(type='Pretrained', "
                f"checkpoint='{name}'{told})"
            )
    return ELSE


def check_starting_weights(model: nn.Module) -> None:
    """Raise unless the checkpoints that parts of the model start from fit them.

    Args:
        model: Parts that can tell have `check_starting_weights`, as ViM2 has.

    Raises:
        ValueError: Names the checkpoint and what does not fit.
    """
    for module in model.modules():
        if hasattr(module, 'check_starting_weights'):
            module.check_starting_weights()
        elif pretrained := pretrained_entry(module):
            check_part(module, pretrained)


def pretrained_entry(module: nn.Module) -> Mapping | None:
    """Return the `init_cfg` of a part that MMEngine itself loads a checkpoint into.

    Parts that adapt what they load, by code or hooks of their own, are left to it.
    """
    if not isinstance(module, BaseModule):
        return None
    entry = module.init_cfg
    if type(module).init_weights is not BaseModule.init_weights or module.is_init:
        return None
    if any(part._load_state_dict_pre_hooks for part in module.modules()):
        return None
    return entry if isinstance(entry, Mapping) and entry.get('checkpoint') else None


def check_part(module: nn.Module, settings: Mapping) -> None:
    """Raise ValueError unless a checkpoint has all tensors of a part; more are fine."""
    name, prefix = settings['checkpoint'], settings.get('prefix') or ''
    prefix = prefix if prefix.endswith('.') or not prefix else f'{prefix}.'
    checkpoint = CheckpointLoader.load_checkpoint(name, 'cpu', logger='silent')
    given = {
        key.removeprefix(prefix): item
        for key, item in weights_of(checkpoint, name).items()
        if key.startswith(prefix)
    }
    check_numbers(given, name)
    faults = [
        fault
        for fault in compare(module.state_dict(), given)
        if fault.kind != UNEXPECTED and not fault.name.endswith('num_batches_tracked')
    ]
    if faults:
        raise ValueError(
            f'{name}, from which {type(module).__name__} is to start, does not fit '
            f'its {len(module.state_dict())} tensors: {tell(faults)}'
        )
