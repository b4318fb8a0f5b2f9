"""MMEngine's runner, whose runs survive what happens to long ones."""

from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .checkpoint_hook import SafeCheckpointHook
from .finite import FiniteHook
from .interruption import InterruptionHook
from .plain_hook import PlainCheckpointHook
from .replay import ReplayHook


@RUNNERS.register_module()
class PlainCheckpointRunner(Runner):
    """`mmengine.runner.Runner` with the hooks of this package in place.

    A `CheckpointHook` of the config becomes a `SafeCheckpointHook` with the same
    arguments; `ReplayHook`, `FiniteHook` and `InterruptionHook` are added unless the
    config has them in `custom_hooks`.
    """

    def register_hook(self, hook: Hook | dict, priority=None) -> None:
        if isinstance(hook, dict) and hook.get('type') in (
            'CheckpointHook',
            CheckpointHook,
        ):
            hook = {**hook, 'type': SafeCheckpointHook}
        super().register_hook(hook, priority)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        saves = any(isinstance(hook, SafeCheckpointHook) for hook in self.hooks)
        kinds = [ReplayHook, FiniteHook]
        kinds.append(InterruptionHook if saves else PlainCheckpointHook)
        for kind in kinds:
            if not any(isinstance(hook, kind) for hook in self.hooks):
                self.register_hook(kind())
