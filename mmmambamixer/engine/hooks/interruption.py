"""Save and leave when the system asks a run to end."""

import signal
import threading

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import barrier, is_distributed
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from .checkpoint import SafeCheckpointHook

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SHELL_BASE = 128
"""Exit code of a process that a signal ended, less the signal's number."""


@HOOKS.register_module()
class InterruptionHook(Hook):
    """On SIGTERM, SIGINT or SIGUSR1 save after the present iteration, then exit.

    One process that gets the signal is enough: all of them stop after the same
    iteration. The exit code is 128 + number of the signal. A second signal of the same
    kind ends the process at once, as without this hook. It needs `SafeCheckpointHook`.
    """

    priority = 95  # after the hooks that save, before `ReplayHook`, which may validate

    def before_train(self, runner: Runner) -> None:
        savers = [hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)]
        if not savers:
            raise ValueError('InterruptionHook needs SafeCheckpointHook, there is none')
        self.saver, self.caught, self.previous = savers[0], 0, {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {n: signal.signal(n, self._note) for n in SIGNALS}

    def after_train(self, runner: Runner) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if number := self._agreed():
            self._leave(runner, number, iterations=runner.iter + 1)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if number := self._agreed():
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # validates with the averaged weights
                    hook.after_val_epoch(runner)
            self._leave(runner, number, iterations=runner.iter)

    def _note(self, number: int, frame) -> None:
        # The workers of a dataloader inherit this, so they outlive a signal to the
        # whole process group and can still be ended by their parent's.
        self.caught = number
        signal.signal(number, self.previous[number])

    def _agreed(self) -> int:
        """Return the signal that any process has caught, or 0."""
        if not is_distributed():
            return self.caught
        number = torch.tensor(self.caught, device=get_device())
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
        return int(number)

    def _leave(self, runner: Runner, number: int, iterations: int) -> None:
        name = signal.Signals(number).name
        path = self.saver.save_now(runner, iterations)
        runner.logger.warning(
            f'{name}: saved {path} after {iterations} iterations, to resume from'
        )
        barrier()  # a launcher may end the others once one has left
        raise SystemExit(SHELL_BASE + number)
