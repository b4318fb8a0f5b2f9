"""Checkpoints of a run: whole, loaded safely, and never fewer than one."""

import os
from glob import escape
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast, broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from ...checkpoints.newest import newest_complete
from ...checkpoints.storage import SEALED, write_file
from ...checkpoints.stream import streamed
from ...messages import TrainingStopped, few
from ...registry import HOOKS
from ...wrappers import averaged_models
from .plain import PlainCheckpointHook

INTERRUPTED = 'interrupted_iter_{}.pth'
"""Name of what is saved between the intervals, when a run is told to stop."""

REPLACED = 'replaced_ckpts'
"""Under this name a checkpoint tells which files its run has yet to remove."""


@HOOKS.register_module()
class SafeCheckpointHook(PlainCheckpointHook, CheckpointHook):
    """MMEngine's checkpoint hook for runs that may die at any moment.

    - A checkpoint is written under another name and renamed when it is whole and on the
      disk; only then `last_checkpoint` names it, and only then older ones are deleted.
    - It holds tensors and plain data, and the digest of its own bytes.
    - `resume=True` takes the newest one that is complete, and names those it passes
      over.
    - All processes go on, and validate, with the buffers of the first, which are saved
      (running means of batch norm, say), as they will when they resume.

    It takes the arguments of `CheckpointHook`, and its place in `default_hooks`. On
    remote storage (`s3://` and the like) writing is that storage's affair, and
    `last_checkpoint` decides what is resumed.
    """

    priority = CheckpointHook.priority

    backend_args: dict | None
    file_backend: Any
    keep_ckpt_ids: list[int]
    last_ckpt: str | None

    def before_run(self, runner: Runner) -> None:
        """Choose what an automatic resume starts from."""
        folder = folder_of(self.out_dir, runner.work_dir)
        if not runner._resume or runner._load_from or '://' in folder:
            return
        chosen: list[str | None] = [None]
        if is_main_process():
            patterns = patterns_of(self.filename_tmpl)
            chosen = [newest_complete(folder, patterns, runner.logger.warning)]
        broadcast_object_list(chosen)
        runner._load_from = chosen[0]
        told = (
            f'resumes from {chosen[0]}' if chosen[0] else 'no checkpoint, starts anew'
        )
        runner.logger.info(f'{folder}: {told}')

    def before_train(self, runner: Runner) -> None:
        if self.backend_args is None and '://' not in str(self.out_dir or ''):
            self.backend_args = dict(backend=SEALED)
        super().before_train(runner)
        self._remove_replaced(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        share_buffers(runner)

    def save_now(self, runner: Runner, iterations: int) -> str:
        """Save whatever the interval, and return the path.

        Args:
            runner: The runner.
            iterations: How many are done.
        """
        meta = dict(epoch=runner.epoch, iter=iterations)
        self._save(runner, INTERRUPTED.format(iterations), meta)
        return self.last_ckpt

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        steps = []
        if self.max_keep_ckpts > 0:
            steps = [s for s in self.keep_ckpt_ids if s != step] + [step]
            self.keep_ckpt_ids = steps[-self.max_keep_ckpts :]
            # With those that are about to go: a resumed run deletes what is left.
            runner.message_hub.update_info('keep_ckpt_ids', steps)
        self._save(runner, self.filename_tmpl.format(step), meta)
        if not is_main_process():
            return
        join = self.file_backend.join_path
        for old in steps[: -self.max_keep_ckpts]:
            path = join(self.out_dir, self.filename_tmpl.format(old))
            self._remove(runner, path)
        if '://' not in self.out_dir:
            for path in Path(self.out_dir).glob(INTERRUPTED.format('*')):
                self._remove(runner, str(path))
        if not isinstance(self.file_backend, Later):
            self._remove_replaced(runner)

    def _save(self, runner: Runner, name: str, meta: dict) -> None:
        share_buffers(runner)
        previous = self.last_ckpt
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        try:
            with streamed():
                runner.save_checkpoint(
                    self.out_dir,
                    name,
                    save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler,
                    meta=meta,
                    by_epoch=self.by_epoch,
                    backend_args=self.backend_args,
                    **self.args,
                )
            if is_main_process():
                pointer = os.path.join(runner.work_dir, 'last_checkpoint')
                write_file(pointer, self.last_ckpt.encode())
        except OSError as error:
            raise TrainingStopped(
                f'{self.last_ckpt} could not be written ({error}); the last complete '
                f'checkpoint is {previous or "none"}'
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        watched = self.key_indicators if self.save_best else ()
        lacking = {*watched} - {*metrics, 'auto'}
        if lacking:
            raise TrainingStopped(
                f'save_best is {few(sorted(lacking))}, but the validation gives '
                f'{few(metrics)}; last checkpoint: {self.last_ckpt or "none yet"}'
            )
        # The stock hook deletes the previous best one before it saves the next.
        backend = self.file_backend
        self.file_backend = Later(backend, runner.message_hub)
        try:
            with streamed():
                super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            raise TrainingStopped(
                f'the best checkpoint could not be written ({error}); the last '
                f'complete one is {self.last_ckpt or "none"}'
            ) from error
        finally:
            self.file_backend = backend
        self._remove_replaced(runner)

    def _remove_replaced(self, runner: Runner) -> None:
        """Remove what was to be removed later, in this run or before it was killed."""
        hub = runner.message_hub
        if not is_main_process() or not hub.runtime_info.get(REPLACED):
            return
        used = {self.last_ckpt, *self._best_paths()}
        # A folder that was moved knows of files in its old place, which may be another
        # run's now.
        own = [p for p in hub.get_info(REPLACED) if os.path.dirname(p) == self.out_dir]
        left = [p for p in own if p not in used and not self._remove(runner, p)]
        hub.update_info(REPLACED, left)

    def _best_paths(self) -> list[str]:
        if not self.save_best:
            return []
        if len(self.key_indicators) == 1:
            return [self.best_ckpt_path]
        return list(self.best_ckpt_path_dict.values())

    def _remove(self, runner: Runner, path: str) -> bool:
        """Remove a file, and return whether it is gone."""
        try:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
        except OSError as error:
            runner.logger.warning(f'{path} could not be deleted: {error}')
            return False
        return True


class Later:
    """A storage that notes what is to be removed, and leaves it there for now.

    Args:
        backend: The storage.
        hub: Where it notes the paths; they come into the next checkpoint, so that a run
            that resumes from it removes what a killed one left.
    """

    def __init__(self, backend, hub: MessageHub) -> None:
        self.backend, self.hub = backend, hub

    def remove(self, path: str) -> None:
        paths = self.hub.runtime_info.get(REPLACED) or []
        self.hub.update_info(REPLACED, [*paths, path])

    def __getattr__(self, name: str):
        return getattr(self.backend, name)


def share_buffers(runner: Runner) -> None:
    """Give all processes the buffers of the first one, which saves."""
    for model in (runner.model, *averaged_models(runner)):
        for buffer in model.buffers():
            broadcast(buffer)


def folder_of(out_dir: str | None, work_dir: str) -> str:
    """Return where a hook keeps its checkpoints, as MMEngine has it."""
    if out_dir is None or out_dir == work_dir:
        return work_dir
    return os.path.join(out_dir, os.path.basename(work_dir.rstrip(os.sep)))


def patterns_of(*templates: str) -> list[str]:
    """Return glob patterns of the checkpoints that a run can go on from."""
    return [escape(name).replace('{}', '*') for name in (*templates, INTERRUPTED)]
