"""MMEngine's runner, with checkpoints that load safely, and one for long runs."""

from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .checkpoint_hook import SafeCheckpointHook
from .finite import FiniteHook
from .interruption import InterruptionHook
from .loading import StrictLoadHook
from .plain_hook import PlainCheckpointHook
from .replay import ReplayHook


@RUNNERS.register_module()
class PlainCheckpointRunner(Runner):
    """`mmengine.runner.Runner` whose checkpoints hold tensors and plain data only."""

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(PlainCheckpointHook())
        self.register_hook(StrictLoadHook())


@RUNNERS.register_module()
class SafeRunner(PlainCheckpointRunner):
    """A runner for runs that may be killed, stopped or spoilt at any moment.

    A `CheckpointHook` of the config becomes a `SafeCheckpointHook` with the same
    arguments; `ReplayHook`, `FiniteHook` and `InterruptionHook` are added unless the
    config has them in `custom_hooks`.

        runner_type = 'SafeRunner'
    """

    def register_hook(self, hook: Hook | dict, priority=None) -> None:
        stock = ('CheckpointHook', CheckpointHook)
        if isinstance(hook, dict) and hook.get('type') in stock:
            hook = {**hook, 'type': SafeCheckpointHook}
        super().register_hook(hook, priority)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        kinds = [ReplayHook, FiniteHook]
        if any(isinstance(hook, SafeCheckpointHook) for hook in self.hooks):
            kinds.append(InterruptionHook)
        for kind in kinds:
            if not any(isinstance(hook, kind) for hook in self.hooks):
                self.register_hook(kind())
