"""Refuse checkpoints that do not fit."""

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from ...preflight.resumed import (
    check_averaging,
    check_optimizer,
    tell_finished,
    tell_ignored,
)
from ...preflight.starting_weights import belongs, check_loaded, check_starting_weights
from ...registry import HOOKS


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
        name = name or 'the checkpoint'
        anew = check_loaded(runner, checkpoint, name)
        if runner._resume:
            check_optimizer(runner, checkpoint, name)
            check_averaging(runner, checkpoint, name)
            tell_ignored(runner, checkpoint, name)
            tell_finished(runner, checkpoint, name)
        if 'state_dict' not in checkpoint:  # a bare one, which EMAHook does not expect
            state = dict(checkpoint)
            checkpoint.clear()
            checkpoint['state_dict'] = state
        state = checkpoint['state_dict']
        for key in [key for key in state if belongs(key.removeprefix('module.'), anew)]:
            del state[key]
