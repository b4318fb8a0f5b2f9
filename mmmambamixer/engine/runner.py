"""MMEngine's runner for runs that may be killed, stopped or spoilt at any moment."""

import torch.distributed as dist
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from .checkpoint_hook import SafeCheckpointHook
from .finite import FiniteHook
from .interruption import InterruptionHook
from .loading import StrictLoadHook
from .plain_hook import PlainCheckpointHook
from .replay import ReplayHook
from .stopped import TrainingStopped


@RUNNERS.register_module()
class SafeRunner(Runner):
    """`mmengine.runner.Runner` with safe checkpoints, exact resume and early stops.

    A `CheckpointHook` of the config becomes a `SafeCheckpointHook` with the same
    arguments; `StrictLoadHook`, `ReplayHook`, `FiniteHook` and `InterruptionHook` are
    added unless the config has them in `custom_hooks`. The death of a process that the
    run needs ends it with `TrainingStopped`.

        runner_type = 'SafeRunner'
    """

    def register_hook(self, hook: Hook | dict, priority=None) -> None:
        stock = ('CheckpointHook', CheckpointHook)
        if isinstance(hook, dict) and hook.get('type') in stock:
            hook = {**hook, 'type': SafeCheckpointHook}
        super().register_hook(hook, priority)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        saves = any(isinstance(hook, SafeCheckpointHook) for hook in self.hooks)
        last = InterruptionHook if saves else PlainCheckpointHook
        for kind in (StrictLoadHook, ReplayHook, FiniteHook, last):
            if not any(isinstance(hook, kind) for hook in self.hooks):
                self.register_hook(kind())

    def train(self) -> nn.Module:
        """Train, and return the model.

        Raises:
            TrainingStopped: If the run cannot go on: numbers that are not finite, a
                checkpoint that cannot be written, a process that died or hangs.
        """
        try:
            return super().train()
        except RuntimeError as error:
            if (lost := lost_process(error)) is None:
                raise
            saved = self.message_hub.runtime_info.get('last_ckpt')
            raise TrainingStopped(
                f'{lost}: {str(error).strip().splitlines()[0]}; last checkpoint: '
                f'{saved or "none yet"}'
            ) from error


def lost_process(error: RuntimeError) -> str | None:
    """Return which process an error tells of that is gone, or None."""
    if 'DataLoader worker' in str(error):
        return 'a process that loads data died'
    if isinstance(error, dist.DistError) or 'gloo' in str(error):
        return 'another process of this run died or does not answer'
    return None
