"""Go on by itself where torchrun or Slurm starts a run again."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..checkpoints.newest import newest_complete
from .hooks.checkpoint import folder_of, patterns_of

RESTARTS = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
"""Variables in which a launcher counts how often it has started a run again."""

STARTED = '.started'
"""File of the work folder that is as old as the run."""


def is_restart() -> bool:
    """Return whether a launcher started this run again, after a failure or a pause."""
    return any(int(os.environ.get(name) or 0) > 0 for name in RESTARTS)


def resume_if_restarted(config: Config) -> bool:
    """Resume from the newest complete checkpoint that this run itself has written.

    Checkpoints of earlier runs in the same folder are left alone: a run that failed
    before its first one starts as it did at first.

    Args:
        config: `resume` and `load_from` are changed; its `work_dir` is the folder.

    Returns:
        Whether the run goes on so.
    """
    started = Path(config.work_dir) / STARTED
    if not is_restart() or not started.exists():
        if is_restart():
            print_log(
                f'restarted, but there is no run in {config.work_dir}: starts anew'
            )
        if is_main_process():
            started.parent.mkdir(parents=True, exist_ok=True)
            started.touch()
        return False
    path = newest_of_run(config, since=started.stat().st_mtime_ns)
    if path is None:
        print_log('restarted before the first checkpoint: starts as at first')
        return False
    print_log(f'restarted: resumes from {path}')
    config.resume, config.load_from = True, path
    return True


def newest_of_run(config: Config, since: int) -> str | None:
    """Return the newest complete checkpoint that is not older than a run, or None.

    On remote storage it is the one that `last_checkpoint` names.

    Args:
        config: Of the run.
        since: When the run began, nanoseconds of the clock of files.

    Raises:
        TrainingStopped: If there are some and none is complete.
    """
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    work_dir = os.path.abspath(config.work_dir)  # as the runner has it
    folder = folder_of(hook.get('out_dir'), work_dir)
    if '://' in folder:
        pointer = Path(work_dir) / 'last_checkpoint'
        own = pointer.exists() and pointer.stat().st_mtime_ns >= since
        return pointer.read_text() if own else None
    template = hook.get('filename_tmpl')
    names = [template] if template else ['epoch_{}.pth', 'iter_{}.pth']
    return newest_complete(folder, patterns_of(*names), print_log, since)
