"""MMEngine's runner for runs that may be killed, stopped or spoilt at any moment."""

import copy
import time
import traceback

import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from ..layer_errors import ONE_VALUE, explain_layer
from ..messages import TrainingStopped
from ..preflight.batches import lone_image
from .expressions import resolve
from .hooks.checkpoint import SafeCheckpointHook
from .hooks.finite import FiniteHook
from .hooks.interruption import InterruptionHook
from .hooks.plain import PlainCheckpointHook
from .hooks.replay import ReplayHook
from .hooks.strict_load import StrictLoadHook

LOOPS_BEGIN = ('before_train', 'before_val', 'before_test')


@RUNNERS.register_module()
class SafeRunner(Runner):
    """`mmengine.runner.Runner` with safe checkpoints, exact resume and early stops.

    A `CheckpointHook` of the config becomes a `SafeCheckpointHook` with the same
    arguments; `StrictLoadHook`, `ReplayHook`, `FiniteHook` and `InterruptionHook` are
    added unless the config has them in `custom_hooks`. The death of a process that the
    run needs ends it with `TrainingStopped`. Environment and config are logged when the
    first loop begins, so that what the checks say comes before these hundreds of lines.

        runner_type = 'SafeRunner'
    """

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> 'SafeRunner':
        """Build a runner from a config, whose expressions it computes in a copy."""
        cfg = copy.deepcopy(cfg)
        resolve(cfg)
        return super().from_cfg(cfg)

    def _log_env(self, env_cfg: dict) -> None:
        self._env_to_log = env_cfg

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name in LOOPS_BEGIN and self._env_to_log is not None:
            env_cfg, self._env_to_log = self._env_to_log, None
            super()._log_env(env_cfg)
        super().call_hook(fn_name, **kwargs)

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
            try:
                return super().train()
            except (ConnectionError, EOFError):
                time.sleep(1)  # torch raises when it hears that a worker died: now
                raise
        except (RuntimeError, ValueError, ConnectionError, EOFError) as error:
            lost, layer = lost_process(error), explain_layer(error)
            if lost is None and layer is None:
                raise
            saved = self.message_hub.runtime_info.get('last_ckpt')
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            told = f'{lost} ({said})' if lost else layer
            if ONE_VALUE in str(error):
                cause = lone_image(self.train_loop.dataloader, self.cfg)
                told += f'; {cause}' if cause else ''
            raise TrainingStopped(
                f'{told}; last checkpoint: {saved or "none yet"}'
            ) from error


def lost_process(error: Exception) -> str | None:
    """Return which process an error tells of that is gone, or None."""
    frames = traceback.extract_tb(error.__traceback__)
    cut_off = isinstance(error, (ConnectionError, EOFError)) and any(
        'multiprocessing' in frame.filename for frame in frames
    )
    if cut_off or 'DataLoader worker' in str(error):
        return 'a process that loads data died'
    if isinstance(error, dist.DistError) or 'gloo' in str(error):
        return 'another process of this run died or does not answer'
    return None
