"""The digest of a checkpoint, computed while it is written."""

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO

END = 22
"""Bytes of a zip archive's last record without a comment; its last two are the
comment's length."""

MARK = b'sha256:'
COMMENT = len(MARK) + 64
BLOCK = 1 << 20
"""Bytes that are hashed and written at a time."""

BLOCKS = 8
"""How many there are: the second thread may stay behind by so many."""


class Sealing:
    """A file for `torch.save` that gives the archive its digest as a comment.

    A second thread hashes each block while this one writes it, and the system brings
    it to the disk while the next one is made, so that little is left to wait for at the
    end. Some blocks of the checkpoint are in memory twice, not all of it. The end of
    the `with` block writes the digest.

    Args:
        file: Where the bytes go, from its beginning.

    Raises:
        OSError: At the end of the `with` block, where the file could not be written:
            an error in the middle of `torch.save` would come out as one of torch's own.
        ValueError: There too, if the bytes are no zip archive without a comment.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.written = file, 0
        self.error: OSError | None = None
        self.digest, self.pool = hashlib.sha256(), ThreadPoolExecutor(1)
        # An archive's end is not written as it comes, so it has to stay in a block.
        blocks = [memoryview(bytearray(BLOCK + END)) for _ in range(BLOCKS)]
        hashed = self.pool.submit(len, b'')
        self.block, self.others = blocks[0], deque((b, hashed) for b in blocks[1:])
        self.filled = 0

    def write(self, data: bytes | memoryview) -> int:
        """Take some bytes, which may change as soon as this returns."""
        left = memoryview(data).cast('B')
        length = len(left)
        while left:
            part = left[: BLOCK + END - self.filled]
            self.block[self.filled : self.filled + len(part)] = part
            self.filled += len(part)
            left = left[len(part) :]
            if self.filled == BLOCK + END:
                self._pass_on(BLOCK)
        return length

    def flush(self) -> None:
        """Do nothing: `torch.save` asks for it, and the end is still to come."""

    def __enter__(self) -> 'Sealing':
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self.pool.shutdown()

    def _finish(self) -> None:
        end = self.block[max(0, self.filled - END) : self.filled]
        if end[:4] != b'PK\x05\x06' or end[-2:] != b'\0\0':
            raise ValueError('a digest can be added to files of torch.save only')
        length = COMMENT.to_bytes(2, 'little')
        self._pass_on(self.filled - len(length))
        for _, hashed in self.others:
            hashed.result()
        self.digest.update(length)
        self._write(length + MARK + self.digest.hexdigest().encode())
        if self.error:
            raise self.error

    def _pass_on(self, size: int) -> None:
        """Hash and write so many bytes of the block; those behind them stay."""
        full, rest = self.block[:size], self.block[size : self.filled]
        self.others.append((self.block, self.pool.submit(self._digest, full)))
        self._write(full)
        self.block, hashed = self.others.popleft()
        hashed.result()
        self.block[: len(rest)] = rest
        self.filled = len(rest)

    def _write(self, data: bytes | memoryview) -> None:
        if self.error:
            return
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            return
        self.written += len(data)

    def _digest(self, data: memoryview) -> None:
        self.digest.update(data)
        with suppress(OSError):  # advice: not every file system can take it
            start_writing(self.file.fileno(), self.written)


def start_writing(descriptor: int, size: int) -> None:
    """Make the system bring the first bytes of a file to the disk, and do not wait.

    Linux does so on being told that they are not needed any more, and frees their
    memory afterwards. Where that cannot be told, nothing happens.

    Raises:
        OSError: If the file system takes no advice.
    """
    if hasattr(os, 'posix_fadvise') and size:
        os.posix_fadvise(descriptor, 0, size, os.POSIX_FADV_DONTNEED)
