"""Save and leave when the system asks a run to end."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import barrier, is_distributed
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from ...registry import HOOKS
from .checkpoint import SafeCheckpointHook

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SHELL_BASE = 128
"""Exit code of a process that a signal ended, less the signal's number."""

TRAINING: list['InterruptionHook'] = []
"""Hooks whose handlers are set in this process."""


@HOOKS.register_module()
class InterruptionHook(Hook):
    """On SIGTERM, SIGINT or SIGUSR1 save after the present iteration, then exit.

    One process that gets the signal is enough: all of them stop after the same
    iteration. The exit code is 128 + number of the signal. A second signal of the same
    kind ends the process at once, as without this hook. It needs `SafeCheckpointHook`.

    Only the training itself handles the signals: the processes that it starts, as the
    pool of a metric, end as ever, and the handlers of before come back when the
    training ends, by an error too. Processes that load data go on until it is over.

    Args:
        signals: Names of the signals, None for all three; an empty list for a training
            inside another program, whose own handlers then hold.
    """

    priority = 95  # after the hooks that save, before `ReplayHook`, which may validate

    def __init__(self, signals: Sequence[str] | None = None) -> None:
        named = None if signals is None else [signal.Signals[n] for n in signals]
        self.signals = SIGNALS if named is None else named
        self.caught, self.previous = 0, {}

    def before_run(self, runner: Runner) -> None:
        loop = runner._train_loop
        if isinstance(loop, BaseLoop):  # which no hook is told of when it fails
            loop.run = partial(self._run, loop.run)

    def _run(self, run: Callable):
        try:
            return run()
        finally:
            self.restore()

    def before_train(self, runner: Runner) -> None:
        savers = [hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)]
        if not savers:
            raise ValueError('InterruptionHook needs SafeCheckpointHook, there is none')
        self.saver, self.caught = savers[0], 0
        if not self.signals or threading.current_thread() != threading.main_thread():
            return
        for loop in (runner.train_loop, runner.val_loop):
            loader = getattr(loop, 'dataloader', None)
            if isinstance(loader, DataLoader):
                loader.worker_init_fn = Sheltered(loader.worker_init_fn)
        self.previous = {n: signal.signal(n, self._note) for n in self.signals}
        TRAINING.append(self)

    def restore(self) -> None:
        """Give the signals the handlers of before."""
        if self in TRAINING:
            for number, handler in self.previous.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            TRAINING.remove(self)

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


class Sheltered:
    """How a process that loads data begins: what ends the training does not end it.

    A signal to the process group, as the terminal sends on Ctrl-C, is for the training,
    which needs its data until it has saved, and then ends this process by SIGTERM.

    Args:
        begin: What the config has it begin with, or None.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self.begin = begin

    def __call__(self, worker: int) -> None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if self.begin:
            self.begin(worker)


def restore_in_child() -> None:
    """Give a process that was forked the handlers that it would have without a hook."""
    for hook in TRAINING[::-1]:
        hook.restore()


os.register_at_fork(after_in_child=restore_in_child)
