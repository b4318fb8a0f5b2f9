"""The checkpoint that a run goes on from."""

import os
from pathlib import Path

from ..messages import TrainingStopped
from .load import load_local
from .storage import is_complete
from .trust import UnsafeTorch


def newest_complete(
    folder: str | os.PathLike, patterns: list[str], warn, since: int = 0
) -> str | None:
    """Return the newest checkpoint of a folder that can be resumed from.

    Args:
        folder: Folder of the checkpoints.
        patterns: Glob patterns of their names.
        warn: Called with one sentence for each newer one that is refused.
        since: Older ones are left alone, nanoseconds of the clock of files.

    Returns:
        The path, or None if there is no checkpoint at all.

    Raises:
        TrainingStopped: If there are some and none is complete.
        UnsafeTorch: If this torch can read none of them safely.
    """
    found = {path for pattern in patterns for path in Path(folder).glob(pattern)}
    times = {path: path.stat().st_mtime_ns for path in found}
    recent = [path for path in found if times[path] >= since]
    for path in sorted(recent, key=times.get, reverse=True):
        fault = damage(path)
        if fault is None:
            return str(path)
        warn(f'passed over: {fault}')
    if recent:
        raise TrainingStopped(
            f'none of the {len(recent)} checkpoints in {folder} is complete; to start '
            'anew, remove them or leave out --resume'
        )
    return None


def damage(path: Path) -> str | None:
    """Return a sentence on what is wrong with a checkpoint file, or None."""
    try:
        if not is_complete(path):
            load_local(path, 'cpu')
    except UnsafeTorch:  # of all of them, and no fault of the file
        raise
    except (ValueError, OSError) as error:
        return str(error)
    return None
