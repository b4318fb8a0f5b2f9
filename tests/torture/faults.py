"""Storage that fails at its n-th step."""

import errno
import mmap
import os
import signal

from mmengine.fileio import LocalBackend

from mmmambamixer.checkpoints import seal, storage
from mmmambamixer.engine.hooks import checkpoint


class Steps:
    """Count the steps of storage, and fail at one of them.

    Args:
        at: The step that fails, from 0.
        kind: 'kill' ends the process there, 'full' raises what a full disk raises.
    """

    def __init__(self, at: int, kind: str) -> None:
        self.done, self.at, self.kind = 0, at, kind
        self.shared = mmap.mmap(-1, 1)  # parent and child see the same byte

    @property
    def reached(self) -> bool:
        """Whether a child came to the step that fails."""
        return self.shared[0] == 1

    def __call__(self) -> None:
        step, self.done = self.done, self.done + 1
        if step != self.at:
            return
        self.shared[0] = 1
        if self.kind == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, 'No space left on device')

    def install(self, rank: int) -> None:
        """Put a step before and after all that storage does."""
        self._around(os, 'fsync')
        self._around(os, 'replace')
        self._around(LocalBackend, 'remove')
        storage.open = lambda *args: HalfWritten(open(*args), self)  # noqa: SIM115
        seal.BLOCK = 1 << 13  # a checkpoint of the toy has several, as large ones
        assert checkpoint.write_file is storage.write_file

    def _around(self, owner, name: str) -> None:
        function = getattr(owner, name)

        def stepping(*args, **kwargs):
            self()
            result = function(*args, **kwargs)
            self()
            return result

        setattr(owner, name, stepping)


class HalfWritten:
    """A file with a step in the middle of each write."""

    def __init__(self, file, step: Steps) -> None:
        self.file, self.step = file, step

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self.file.write(data[:half])
        self.file.flush()
        self.step()
        self.file.write(data[half:])

    def __enter__(self) -> 'HalfWritten':
        return self

    def __exit__(self, *error) -> None:
        self.file.close()

    def __getattr__(self, name: str):
        return getattr(self.file, name)
