"""Weights that a run starts from: all of them fit, or nothing is trained.

MMEngine loads what fits and logs the rest, so that a checkpoint of another network
trains from random weights. Here `load_from` must have exactly the tensors of the model,
but for the parts that a config says start anew:

    load_from = 'classifier.pth'
    load_except = ['head.fc']

A run that goes on (`resume`) takes everything, whatever `load_except` says.
"""

from collections.abc import Mapping

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from ..registry import HOOKS
from ..state_dict import RESHAPED, UNEXPECTED, Fault, compare, first
from ..suggestions import did_you_mean
from .check_model import check_starting_weights, unwrapped
from .checkpoint import ELSE, misfits, refuse, state_dict_of
from .checkpoint_hook import SafeCheckpointHook

OF_A_RUN = ('meta', 'message_hub', 'optimizer')
"""What a checkpoint needs besides its weights for a run to go on."""


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuse a checkpoint that does not fit, wherever the runner loads one.

    For training, testing and resuming; `load_except` at the top of the config names
    the parts that start anew. `SafeRunner` has this hook; another runner
    gets it by `custom_hooks`.
    """

    priority = 'VERY_HIGH'  # before EMA copies the weights

    def before_run(self, runner: Runner) -> None:
        if isinstance(runner._train_loop, BaseLoop) and not runner._resume:
            check_starting_weights(runner.model)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        name = runner._load_from
        if name is None and runner._resume:
            name = find_latest_checkpoint(runner.work_dir)
        anew = check_loaded(runner, checkpoint, name or 'the checkpoint')
        if 'state_dict' not in checkpoint:  # a bare one, which EMAHook does not expect
            state = dict(checkpoint)
            checkpoint.clear()
            checkpoint['state_dict'] = state
        state = checkpoint['state_dict']
        for key in [key for key in state if belongs(key.removeprefix('module.'), anew)]:
            del state[key]


def check_start(runner: Runner, otherwise: str | None = None) -> None:
    """Raise unless the checkpoint that a training will start from is there and fits.

    Args:
        runner: Before it trains.
        otherwise: What to load where there is no checkpoint to go on from.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not fit, or `load_except` does not.
        TrainingStopped: If there are checkpoints to go on from and none is complete.
    """
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            hook.before_run(runner)  # chooses the newest that is complete
    path = runner._load_from
    if runner._resume and path is None:
        path = find_latest_checkpoint(runner.work_dir)
        if path is None:
            runner._resume, path = False, otherwise
            runner._load_from = otherwise
            start = f'starts from {otherwise}' if otherwise else 'starts anew'
            runner.logger.warning(
                f'--resume: no checkpoint in {runner.work_dir}, {start}'
            )
    if path is not None:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        check_loaded(runner, checkpoint, path, trains=True)
    elif runner.cfg.get('load_except'):
        raise ValueError('load_except is for load_from, and there is none')


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
                f'{name} holds no {", ".join(lacking)}, so a run can not go on from '
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
