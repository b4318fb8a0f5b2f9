"""What a run that goes on takes from its checkpoint, whatever the config says."""

import math
from collections.abc import Iterator, Mapping
from numbers import Number

from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..checkpoints.compare import first

START = (
    'to change it, start a new run from these weights: set load_from to this file and '
    'leave out resume'
)
OF_A_SCHEDULE = ('begin', 'end', 'by_epoch', 'factor', 'gamma', 'step_size', 'power')
MORE = ('milestones', 'start_factor', 'end_factor', 'total_iters', 'T_max', 'eta_min')
SETTINGS = (*OF_A_SCHEDULE, *MORE, 'eta_min_ratio', 'restarts', 'periods')
"""What a config says of a schedule; the rest of its state is where it stands."""


def check_optimizer(runner: Runner, checkpoint: Mapping, name: str) -> None:
    """Raise unless the optimiser of a checkpoint is that of the config.

    Args:
        runner: With its optimiser built; several optimisers are left alone.
        checkpoint: To resume from.
        name: Its name in the message.

    Raises:
        ValueError: Names both optimisers, or both numbers of parameter groups.
    """
    wrapper, state = runner.optim_wrapper, checkpoint.get('optimizer') or {}
    if not isinstance(wrapper, OptimWrapper) or 'param_groups' not in state:
        return
    kind, groups = type(wrapper.optimizer).__name__, wrapper.optimizer.param_groups
    saved = state['param_groups']
    trained = checkpoint['meta'].get('training', {}).get('optimizer')
    unknown = sorted(set(saved[0]) - set(groups[0]) - {'param_names'})
    unknown = [key for key in unknown if not key.startswith('initial_')]
    if trained not in (None, kind) or unknown:
        told = trained or f'an optimiser with {first(unknown)}'
        raise ValueError(
            f'{name} was trained with {told}, the config has {kind}, which cannot go '
            f'on from its state: set the optimizer back; {START}'
        )
    sizes = [[len(group['params']) for group in part] for part in (saved, groups)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f'{name} has {len(saved)} groups of {sum(sizes[0])} parameters in its '
            f'optimiser, the model has {len(groups)} groups of {sum(sizes[1])}: '
            f'paramwise_cfg or frozen layers have changed; set them back; {START}'
        )


def check_averaging(runner: Runner, checkpoint: Mapping, name: str) -> None:
    """Raise if a checkpoint has averaged weights and the config no EMAHook.

    EMAHook saves the average in the place of the trained weights, and these beside it.
    """
    if 'ema_state_dict' in checkpoint and not any(
        isinstance(hook, EMAHook) for hook in runner.hooks
    ):
        raise ValueError(
            f'{name} was trained with EMAHook, the config has none, so that training '
            f'would go on from the averaged weights: set EMAHook back; {START}'
        )


def tell_ignored(runner: Runner, checkpoint: Mapping, name: str) -> None:
    """Log which settings of the config a resumed run ignores."""
    ignored = [
        *ignored_settings(runner, checkpoint),
        *ignored_schedules(runner, checkpoint),
    ]
    if ignored:
        runner.logger.warning(
            f'{name}: a resumed run goes on with the settings in its checkpoint, those '
            f'of the config are ignored: {first(ignored)}; {START}'
        )


def tell_finished(runner: Runner, checkpoint: Mapping, name: str) -> None:
    """Warn if a checkpoint is as long trained as the run is to be."""
    loop = runner._train_loop
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        return
    key = 'epoch' if isinstance(loop, EpochBasedTrainLoop) else 'iter'
    most, done = getattr(loop, f'max_{key}s'), checkpoint['meta'].get(key, 0)
    if done >= most:
        runner.logger.warning(
            f'{name}: nothing is left to train, {key} {done} of {most} is done; to '
            f'train longer, raise train_cfg.max_{key}s'
        )


def ignored_settings(runner: Runner, checkpoint: Mapping) -> Iterator[str]:
    """Yield the settings of the optimiser that differ: learning rates and others."""
    wrapper, state = runner.optim_wrapper, checkpoint.get('optimizer') or {}
    if not isinstance(wrapper, OptimWrapper):
        return
    told = set()
    pairs = zip(
        wrapper.optimizer.param_groups, state.get('param_groups', ()), strict=False
    )
    for group, saved in pairs:
        for key in (group.keys() & saved.keys()) - {'params', 'param_names'}:
            if key.startswith('initial_') or key in told:
                continue
            now, then = (
                part.get(f'initial_{key}', part[key]) for part in (group, saved)
            )
            if differ(now, then):
                told.add(key)
                yield (
                    f'{key} ({now:g}, checkpoint {then:g})'
                    if isinstance(now, Number) and isinstance(then, Number)
                    else f'{key} ({now}, checkpoint {then})'
                )


def ignored_schedules(runner: Runner, checkpoint: Mapping) -> Iterator[str]:
    """Yield the settings of the schedules that differ."""
    now, then = runner.param_schedulers, checkpoint.get('param_schedulers') or []
    if not isinstance(then, list) or not isinstance(now, (list, type(None))):
        return
    if len(now or []) != len(then):
        yield f'param_scheduler ({len(now or [])} parts, checkpoint {len(then)})'
        return
    for i, (scheduler, saved) in enumerate(zip(now or [], then, strict=True)):
        state = scheduler.state_dict()
        for key in SETTINGS:
            if key in state and key in saved and differ(state[key], saved[key]):
                both = f'({state[key]}, checkpoint {saved[key]})'
                yield f'param_scheduler.{i}.{key} {both}'


def differ(now, then) -> bool:
    if isinstance(now, float) or isinstance(then, float):
        numbers = isinstance(now, Number) and isinstance(then, Number)
        return not numbers or not math.isclose(now, then, rel_tol=1e-6, abs_tol=1e-12)
    if isinstance(now, (list, tuple)) and isinstance(then, (list, tuple)):
        return list(now) != list(then)
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        return dict(now) != dict(then)
    return now != then
